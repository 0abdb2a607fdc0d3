/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a checkpoint: see checkpoint-files.h. */
#include "sandbox/checkpoint-files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"

/* The manifest comes last: with it there is a checkpoint. */
static const char *const first_names[] = { MANIFEST_STATE, MANIFEST_RAM, MANIFEST_INVENTORY };
#define FILES_MAX (ARRAY_SIZE(first_names) + PLAN_VOLUMES_MAX + 1)
#define NAME_SIZE 24

/* Whatever a checkpoint can have. */
static void name_of(size_t i, char ret_name[NAME_SIZE], char ret_new[NAME_SIZE])
{
	if (i < ARRAY_SIZE(first_names))
		(void)snprintf(ret_name, NAME_SIZE, "%s", first_names[i]);
	else if (i < FILES_MAX - 1)
		(void)snprintf(ret_name, NAME_SIZE, MANIFEST_DISK, i - ARRAY_SIZE(first_names));
	else
		(void)snprintf(ret_name, NAME_SIZE, MANIFEST_NAME);
	(void)snprintf(ret_new, NAME_SIZE, ".%.*s.new", NAME_SIZE - 6, ret_name);
}

int checkpoint_open_directory(const char *what, const char *path, bool *ret_made, int *ret_fd,
			      struct error **ret_error)
{
	if (path[0] != '/')
		return error_set(ret_error, EINVAL, "the %s \"%s\" is not an absolute one", what,
				 path);
	*ret_made = mkdir(path, 0700) == 0;
	if (!*ret_made && errno != EEXIST)
		return error_set_errno(ret_error, errno, "cannot make the %s %s", what, path);
	*ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_fd < 0)
		return error_set_errno(ret_error, errno, "the %s %s", what, path);
	return 0;
}

int checkpoint_files_open(const char *path, struct checkpoint_files *ret_files,
			  struct error **ret_error)
{
	*ret_files = (struct checkpoint_files){ .path = xstrdup(path), .dir_fd = -1 };
	return checkpoint_open_directory("image path", path, &ret_files->made, &ret_files->dir_fd,
					 ret_error);
}

void checkpoint_files_discard(struct checkpoint_files *files)
{
	char name[NAME_SIZE], new[NAME_SIZE];

	if (files->dir_fd < 0)
		return;
	for (size_t i = 0; i < FILES_MAX; i++) {
		name_of(i, name, new);
		(void)unlinkat(files->dir_fd, new, 0);
	}
	if (files->made)
		(void)rmdir(files->path);
	close_fdp(&files->dir_fd);
	files->dir_fd = -1;
}

void checkpoint_files_done(struct checkpoint_files *files)
{
	checkpoint_files_discard(files);
	free(files->path);
}

int checkpoint_files_make(const struct checkpoint_files *files, const char *name, int *ret_fd,
			  struct error **ret_error)
{
	_cleanup_free_ char *new = xasprintf(".%s.new", name);

	(void)unlinkat(files->dir_fd, new, 0);
	*ret_fd =
	    openat(files->dir_fd, new, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*ret_fd < 0)
		return error_set_errno(ret_error, errno, "cannot make %s/%s", files->path, new);
	return 0;
}

static int write_small(const struct checkpoint_files *files, const char *name, const char *text,
		       size_t size, struct error **ret_error)
{
	_cleanup_close_ int fd = -1;

	if (checkpoint_files_make(files, name, &fd, ret_error) < 0)
		return -1;
	if (write_all(fd, text, size) < 0 || fsync(fd) < 0)
		return error_set_errno(ret_error, errno, "cannot write %s/%s", files->path, name);
	return 0;
}

/* podman restores nothing without the one, and looks into none. */
static int write_manifest(const struct checkpoint_files *files,
			  const struct checkpoint_manifest *manifest, struct error **ret_error)
{
	static const char inventory[] = "not CRIU's: see \"" MANIFEST_NAME "\"\n";
	size_t size;
	_cleanup_free_ char *text = checkpoint_manifest_write(manifest, &size);

	if (size > MANIFEST_SIZE_MAX)
		return error_set(ret_error, EFBIG, "the manifest has %zu bytes", size);
	if (!manifest->memory_only &&
	    write_small(files, MANIFEST_INVENTORY, inventory, strlen(inventory), ret_error) < 0)
		return -1;
	return write_small(files, MANIFEST_NAME, text, size, ret_error);
}

/* What cannot be replaced is known before anything is: a directory, which is somebody's. */
static int check_names(const struct checkpoint_files *files, struct error **ret_error)
{
	char name[NAME_SIZE], new[NAME_SIZE];
	struct stat st;

	for (size_t i = 0; i < FILES_MAX; i++) {
		name_of(i, name, new);
		if (fstatat(files->dir_fd, new, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    fstatat(files->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISDIR(st.st_mode))
			return error_set(ret_error, EISDIR, "%s/%s is a directory", files->path,
					 name);
	}
	return 0;
}

/* What the manifest that is there names goes, the manifest first: at no moment is a part of it
 * taken for a checkpoint.  Other files that are called disk5 are somebody's. */
static int remove_older(const struct checkpoint_files *files, struct error **ret_error)
{
	_cleanup_(checkpoint_manifest_freep) struct checkpoint_manifest *older = NULL;
	_cleanup_close_ int fd = open_regular_file(files->dir_fd, MANIFEST_NAME, O_NOFOLLOW);
	_cleanup_free_ char *text = NULL;
	size_t size;

	if (fd >= 0 && read_file_fd(fd, files->path, MANIFEST_SIZE_MAX, &text, &size, NULL) == 0)
		(void)checkpoint_manifest_parse(text, size, &older, NULL);
	if (unlinkat(files->dir_fd, MANIFEST_NAME, 0) < 0 && errno != ENOENT)
		return error_set_errno(ret_error, errno, "cannot replace %s/" MANIFEST_NAME,
				       files->path);
	/* (The new one may have none.) */
	if (older) {
		(void)unlinkat(files->dir_fd, MANIFEST_STATE, 0);
		(void)unlinkat(files->dir_fd, MANIFEST_INVENTORY, 0);
	}
	for (size_t i = 0; older && i < older->n_volumes; i++) {
		_cleanup_free_ char *name = xasprintf(MANIFEST_DISK, i);

		if (!older->volumes[i].readonly)
			(void)unlinkat(files->dir_fd, name, 0);
	}
	return 0;
}

/* Those that there are; the manifest is the last. What has its name when one fails goes again. */
static int give_names(const struct checkpoint_files *files, struct error **ret_error)
{
	bool named[FILES_MAX] = { false };
	char name[NAME_SIZE], new[NAME_SIZE];
	size_t i;

	for (i = 0; i < FILES_MAX; i++) {
		name_of(i, name, new);
		named[i] = renameat(files->dir_fd, new, files->dir_fd, name) == 0;
		if (!named[i] && errno != ENOENT)
			break;
	}
	if (i == FILES_MAX)
		return 0;
	(void)error_set_errno(ret_error, errno, "cannot make %s/%s", files->path, name);
	while (i > 0) {
		name_of(--i, name, new);
		if (named[i])
			(void)unlinkat(files->dir_fd, name, 0);
	}
	return -1;
}

int checkpoint_files_finish(const struct checkpoint_files *files,
			    const struct checkpoint_manifest *manifest, struct error **ret_error)
{
	if (write_manifest(files, manifest, ret_error) < 0 || check_names(files, ret_error) < 0 ||
	    remove_older(files, ret_error) < 0 || give_names(files, ret_error) < 0)
		return -1;
	if (fsync(files->dir_fd) < 0)
		return error_set_errno(ret_error, errno, "cannot sync %s", files->path);
	return 0;
}
