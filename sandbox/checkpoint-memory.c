/* SPDX-License-Identifier: Apache-2.0 */
/* Reading checkpoints and their parents: see checkpoint-memory.h. */
#include "sandbox/checkpoint-memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"

void checkpoint_memory_close(struct checkpoint_memory *memory)
{
	for (; memory->n > 0; memory->n--)
		close_fdp(&memory->fds[memory->n - 1]);
}

int checkpoint_open_part(int dir_fd, const char *path, const char *name, int *ret_fd,
			 struct error **ret_error)
{
	int fd = open_regular_file(dir_fd, name, O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT)
		return error_set(ret_error, ENOENT, "%s is not a checkpoint: it has no file \"%s\"",
				 path, name);
	if (fd < 0 && errno == EINVAL)
		return error_set(ret_error, EINVAL, "%s/%s: not a regular file", path, name);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open %s/%s", path, name);
	*ret_fd = fd;
	return 0;
}

int checkpoint_open_manifest(int dir_fd, const char *path,
			     struct checkpoint_manifest **ret_manifest, struct error **ret_error)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	size_t size;

	if (checkpoint_open_part(dir_fd, path, MANIFEST_NAME, &fd, ret_error) < 0 ||
	    read_file_fd(fd, path, MANIFEST_SIZE_MAX, &text, &size, ret_error) < 0)
		return -1;
	if (checkpoint_manifest_parse(text, size, ret_manifest, ret_error) < 0)
		return error_wrap(ret_error, "the checkpoint %s", path);
	return 0;
}

/* ---- the chain ---- */

/* One of its checkpoints, while it is followed. */
struct link {
	int dir_fd;
	char *path;
	struct checkpoint_manifest *manifest;
};

static void link_done(struct link *link)
{
	close_fdp(&link->dir_fd);
	free(link->path);
	checkpoint_manifest_free(link->manifest);
}

static int check_parent(const struct checkpoint_manifest *manifest, const struct link *parent,
			struct error **ret_error)
{
	if (strcmp(parent->manifest->name, manifest->parent_name) != 0)
		return error_set(
		    ret_error, EINVAL,
		    "the parent %s is another checkpoint than the one that it was made "
		    "after",
		    parent->path);
	if (parent->manifest->memory_mib != manifest->memory_mib ||
	    parent->manifest->room_mib != manifest->room_mib)
		return error_set(ret_error, EINVAL,
				 "the parent %s has %llu MiB of memory, not %llu", parent->path,
				 (unsigned long long)parent->manifest->memory_mib,
				 (unsigned long long)manifest->memory_mib);
	return 0;
}

static int open_parent(int dir_fd, const char *path, const struct checkpoint_manifest *manifest,
		       struct link *ret_link, struct error **ret_error)
{
	_cleanup_(link_done) struct link link = {
		.dir_fd = openat(dir_fd, manifest->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.path = xasprintf("%s/%s", path, manifest->parent),
	};

	if (link.dir_fd < 0)
		return error_set_errno(ret_error, errno, "the parent %s", link.path);
	if (checkpoint_open_manifest(link.dir_fd, link.path, &link.manifest, ret_error) < 0 ||
	    check_parent(manifest, &link, ret_error) < 0)
		return -1;
	*ret_link = link;
	link = (struct link){ .dir_fd = -1 };
	return 0;
}

static bool is_same_file(int one, int other)
{
	struct stat a, b;

	return fstat(one, &a) == 0 && fstat(other, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

static int add(struct checkpoint_memory *memory, int dir_fd, const char *path, int not_fd,
	       struct error **ret_error)
{
	if (memory->n == CHECKPOINT_CHAIN_MAX)
		return error_set(ret_error, EFBIG,
				 "more than %d checkpoints that are parents of each other",
				 CHECKPOINT_CHAIN_MAX);
	if (not_fd >= 0 && is_same_file(dir_fd, not_fd))
		return error_set(ret_error, EEXIST,
				 "the checkpoint %s would be replaced, and is needed as a parent",
				 path);
	if (checkpoint_open_part(dir_fd, path, MANIFEST_RAM, &memory->fds[memory->n], ret_error) <
	    0)
		return -1;
	memory->n++;
	return 0;
}

/* The newest first. */
static int follow(int dir_fd, const char *path, const struct checkpoint_manifest *manifest,
		  int not_fd, struct checkpoint_memory *memory, struct error **ret_error)
{
	_cleanup_(link_done) struct link link = { .dir_fd = -1 };
	int r = add(memory, dir_fd, path, not_fd, ret_error);

	while (r == 0 && manifest->parent[0]) {
		struct link parent;

		if (open_parent(dir_fd, path, manifest, &parent, ret_error) < 0)
			return -1;
		link_done(&link);
		link = parent;
		dir_fd = link.dir_fd;
		path = link.path;
		manifest = link.manifest;
		r = add(memory, dir_fd, path, not_fd, ret_error);
	}
	return r;
}

int checkpoint_memory_open(int dir_fd, const char *path, const struct checkpoint_manifest *manifest,
			   int not_fd, struct checkpoint_memory *ret_memory,
			   struct error **ret_error)
{
	struct checkpoint_memory memory = { .n = 0 };

	if (follow(dir_fd, path, manifest, not_fd, &memory, ret_error) < 0) {
		checkpoint_memory_close(&memory);
		return -1;
	}
	ret_memory->n = memory.n;
	for (size_t i = 0; i < memory.n; i++)
		ret_memory->fds[i] = memory.fds[memory.n - 1 - i];
	return 0;
}
