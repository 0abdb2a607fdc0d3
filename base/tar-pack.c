/* SPDX-License-Identifier: Apache-2.0 */
/* A tree as a tar stream: see tar.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/tar-packer.h"

#define DEPTH_MAX 512
#define CHUNK 65536

/* A file of several names, the first of which it has in the stream. */
struct linked {
	dev_t device;
	ino_t inode;
	char *path;
};

static int compare_linked(const void *a, const void *b)
{
	const struct linked *left = a, *right = b;

	if (left->device != right->device)
		return left->device < right->device ? -1 : 1;
	return left->inode == right->inode ? 0 : left->inode < right->inode ? -1 : 1;
}

static void free_linked(void *data)
{
	struct linked *linked = data;

	free(linked->path);
	free(linked);
}

/* Where it is already, or NULL. */
static const char *find_linked(struct packer *packer, const struct stat *st, const char *path)
{
	struct linked key = { .device = st->st_dev, .inode = st->st_ino };
	struct linked **found = tfind(&key, &packer->linked, compare_linked), *linked;

	if (found)
		return (*found)->path;
	linked = xmemdup(&key, sizeof(key));
	linked->path = xstrdup(path);
	(void)tsearch(linked, &packer->linked, compare_linked);
	return NULL;
}

int packer_flush(struct packer *packer, size_t limit, struct error **ret_error)
{
	struct buffer *buffer = &packer->buffer;

	if (buffer_length(buffer) <= limit)
		return 0;
	if (write_all(packer->fd, buffer_data(buffer), buffer_length(buffer)) < 0)
		return error_set_errno(ret_error, errno, "cannot write the archive");
	buffer_consume(buffer, buffer_length(buffer));
	return 0;
}

/* As many bytes as the header has said, whatever becomes of the file meanwhile. */
static int put_content(struct packer *packer, int fd, const char *path, uint64_t size,
		       struct error **ret_error)
{
	const size_t padding = tar_padding(size);

	for (uint64_t left = size; left > 0;) {
		uint8_t *bytes = buffer_reserve(&packer->buffer, CHUNK);
		size_t wanted = (size_t)MIN(left, (uint64_t)CHUNK);
		const ssize_t n = read_all(fd, bytes, wanted);

		if (n < 0)
			return error_set_errno(ret_error, errno, "cannot read %s", path);
		memset(bytes + n, 0, wanted - (size_t)n);
		buffer_commit(&packer->buffer, wanted);
		left -= wanted;
		if (packer_flush(packer, CHUNK, ret_error) < 0)
			return -1;
	}
	memset(buffer_reserve(&packer->buffer, TAR_BLOCK), 0, TAR_BLOCK);
	buffer_commit(&packer->buffer, padding);
	return 0;
}

static void add_xattr(int fd, const char *name, struct tar_entry *entry)
{
	char value[4096];
	const ssize_t size = fgetxattr(fd, name, value, sizeof(value));

	if (size >= 0)
		tar_entry_add_xattr(entry, name, value, (size_t)size);
}

static void add_xattrs(int fd, struct tar_entry *entry)
{
	char names[4096];
	const ssize_t size = flistxattr(fd, names, sizeof(names));

	for (ssize_t at = 0; at < size && entry->n_xattrs < TAR_XATTRS_MAX;
	     at += (ssize_t)strlen(names + at) + 1)
		if (strncmp(names + at, "user.", 5) == 0 ||
		    strcmp(names + at, "security.capability") == 0)
			add_xattr(fd, names + at, entry);
}

/* It cannot be opened as what it was found to be.  Below the first one it is gone meanwhile, or
 * another file, and left out. */
static int not_there(int code, const char *path, unsigned depth, struct error **ret_error)
{
	const bool has_changed =
	    code == ENOENT || code == ENOTDIR || code == ELOOP || code == EINVAL || code == ENXIO;

	return depth > 0 && has_changed ? 0
					: error_set_errno(ret_error, code, "cannot open %s", path);
}

static int put_link(struct packer *packer, int dir, const char *name, unsigned depth,
		    struct tar_entry *entry, struct error **ret_error)
{
	char target[TAR_PATH_MAX];
	const ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

	if (n < 0)
		return not_there(errno, entry->path, depth, ret_error);
	target[n] = '\0';
	entry->link = xstrdup(target);
	tar_put_entry(&packer->buffer, entry);
	return 0;
}

static int put_file(struct packer *packer, int dir, const char *name, unsigned depth,
		    struct tar_entry *entry, struct error **ret_error)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	_cleanup_close_ int fd = openat(dir, name, flags);
	const char *other;
	struct stat st;

	if (fd < 0)
		return not_there(errno, entry->path, depth, ret_error);
	if (fstat(fd, &st) < 0)
		return error_set_errno(ret_error, errno, "cannot stat %s", entry->path);
	if (!S_ISREG(st.st_mode))
		return not_there(EINVAL, entry->path, depth, ret_error);
	other = st.st_nlink > 1 ? find_linked(packer, &st, entry->path) : NULL;
	if (other) {
		entry->is_hard_link = true;
		entry->link = xstrdup(other);
		tar_put_entry(&packer->buffer, entry);
		return 0;
	}
	if (packer->is->has_xattrs)
		add_xattrs(fd, entry);
	entry->size = (uint64_t)st.st_size;
	tar_put_entry(&packer->buffer, entry);
	return put_content(packer, fd, entry->path, entry->size, ret_error);
}

static int put_children(struct packer *packer, int fd, const char *path, unsigned depth,
			struct error **ret_error)
{
	_cleanup_dir_ DIR *dir = NULL;
	_cleanup_close_ int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	struct dirent *entry;

	if (depth == DEPTH_MAX)
		return error_set_errno(ret_error, ELOOP, "%s: directories nest too deep", path);
	dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir)
		return error_set_errno(ret_error, errno, "cannot read %s", path);
	(void)TAKE_FD(copy);
	while ((entry = readdir(dir))) {
		_cleanup_free_ char *child = strcmp(path, ".") == 0
						 ? xstrdup(entry->d_name)
						 : xasprintf("%s/%s", path, entry->d_name);

		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    packer_put(packer, fd, entry->d_name, child, depth + 1, ret_error) < 0)
			return -1;
	}
	return 0;
}

/* Something else is mounted there, which is not of this tree. */
static bool is_mount_point(int dir, const char *name)
{
	struct statx st;

	return statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &st) == 0 &&
	       (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

void packer_put_directory(struct packer *packer, int fd, struct tar_entry *entry)
{
	if (packer->is->has_xattrs)
		add_xattrs(fd, entry);
	tar_put_entry(&packer->buffer, entry);
}

static int put_directory(struct packer *packer, int dir, const char *name, bool is_empty,
			 unsigned depth, struct tar_entry *entry, struct error **ret_error)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return not_there(errno, entry->path, depth, ret_error);
	packer_put_directory(packer, fd, entry);
	if (is_empty)
		return 0;
	return put_children(packer, fd, entry->path, depth, ret_error);
}

void packer_fill(const struct stat *st, const char *path, struct tar_entry *ret_entry)
{
	*ret_entry = (struct tar_entry){ .path = xstrdup(path),
					 .mode = st->st_mode,
					 .uid = st->st_uid,
					 .gid = st->st_gid,
					 .mtime = st->st_mtim,
					 .device = st->st_rdev };
}

int packer_put(struct packer *packer, int dir, const char *name, const char *path, unsigned depth,
	       struct error **ret_error)
{
	const bool is_other = packer->is->stays && depth > 0 && is_mount_point(dir, name);
	_cleanup_(tar_entry_done) struct tar_entry entry = { 0 };
	struct stat st;
	int result = 0;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT && depth > 0
			   ? 0 /* gone meanwhile */
			   : error_set_errno(ret_error, errno, "cannot stat %s", path);
	packer_fill(&st, path, &entry);
	if (S_ISDIR(st.st_mode))
		result = put_directory(packer, dir, name, is_other, depth, &entry, ret_error);
	else if (is_other && S_ISREG(st.st_mode))
		tar_put_entry(&packer->buffer, &entry);
	else if (S_ISREG(st.st_mode))
		result = put_file(packer, dir, name, depth, &entry, ret_error);
	else if (S_ISLNK(st.st_mode))
		result = put_link(packer, dir, name, depth, &entry, ret_error);
	else if (!S_ISSOCK(st.st_mode))
		tar_put_entry(&packer->buffer, &entry);
	return result < 0 ? -1 : packer_flush(packer, CHUNK, ret_error);
}

int packer_end(struct packer *packer, struct error **ret_error)
{
	tar_put_end(&packer->buffer);
	return packer_flush(packer, 0, ret_error);
}

void packer_done(struct packer *packer)
{
	buffer_done(&packer->buffer);
	tdestroy(packer->linked, free_linked);
}

/* What a link leads to, whose last part is then none. */
static int find_source(const struct tar_pack *pack, char **ret_path, struct error **ret_error)
{
	const size_t length = strlen(pack->source);
	struct stat st;

	if (length == 0 || lstat(pack->source, &st) < 0)
		return error_set_errno(ret_error, length ? errno : ENOENT, "cannot stat %s",
				       pack->source);
	*ret_path = pack->follows || !pack->name || pack->source[length - 1] == '/'
			? realpath(pack->source, NULL)
			: xstrdup(pack->source);
	return *ret_path ? 0 : error_set_errno(ret_error, errno, "cannot stat %s", pack->source);
}

int tar_pack(int fd, const struct tar_pack *pack, struct error **ret_error)
{
	struct packer packer = { .is = pack, .fd = fd };
	_cleanup_free_ char *path = NULL;
	int result;

	if (find_source(pack, &path, ret_error) < 0)
		return -1;
	result = packer_put(&packer, AT_FDCWD, path, pack->name ? pack->name : ".", 0, ret_error);
	if (result == 0)
		result = packer_end(&packer, ret_error);
	packer_done(&packer);
	return result;
}
