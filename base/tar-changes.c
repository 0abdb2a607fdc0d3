/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What overlayfs has written as a tar stream: see tar_pack_changes().
 *
 * The upper directory says what has changed; what it is now is read from the mount.  So a directory
 * that has been renamed (redirect_dir), or a file of which only the attributes are in the upper
 * directory (metacopy), is whole in the stream.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/tar-packer.h"

#define DEPTH_MAX 512
#define CHUNK 65536
#define OPAQUE "trusted.overlay.opaque"
#define COPIED "trusted.overlay.origin" /* from a lower layer */
#define REDIRECT "trusted.overlay.redirect"

struct changes {
	struct packer packer;
	const struct tar_changes *is;
};

/* Again: with a place of its own in the list, and to be read, which one of O_PATH is not. */
static DIR *open_directory(int fd)
{
	_cleanup_close_ int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = again < 0 ? NULL : fdopendir(again);

	if (dir)
		(void)TAKE_FD(again);
	return dir;
}

static bool has_xattr(int fd, const char *name)
{
	return fgetxattr(fd, name, NULL, 0) >= 0;
}

/* ("x" is said of one that has whiteouts of another form in it.) */
static bool is_opaque(int fd)
{
	char value;

	return fgetxattr(fd, OPAQUE, &value, 1) == 1 && value == 'y';
}

/* Paths of the stream have no slash in front.  1: it is a mount point; 0: there is one below; -1:
 * neither. */
static int find_mount_point(const struct changes *changes, const char *path)
{
	const size_t size = strlen(path);
	int found = -1;

	for (const char *const *point = changes->is->mount_points; point && *point; point++) {
		const char *name = *point + strspn(*point, "/");

		if (strncmp(path, name, size) != 0)
			continue;
		if (name[size + strspn(name + size, "/")] == '\0')
			return 1;
		if (name[size] == '/')
			found = 0;
	}
	return found;
}

/* There is more below than mount points, or nothing at all: the directory itself has changed. */
static bool has_changes(const struct changes *changes, int upper, const char *path, unsigned depth)
{
	_cleanup_dir_ DIR *dir = open_directory(upper);
	const struct dirent *entry;
	bool is_empty = true;

	if (!dir || depth == DEPTH_MAX)
		return true;
	while ((entry = readdir(dir))) {
		_cleanup_free_ char *child = xasprintf("%s/%s", path, entry->d_name);
		_cleanup_close_ int fd = -1;
		int found;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		is_empty = false;
		found = find_mount_point(changes, child);
		if (found > 0)
			continue;
		fd = openat(upper, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (found < 0 || fd < 0 || has_changes(changes, fd, child, depth + 1))
			return true;
	}
	return is_empty;
}

static void put_empty(struct changes *changes, const char *directory, const char *prefix,
		      const char *name)
{
	struct tar_entry entry = { .path = xasprintf("%s%s%s%s", directory, directory[0] ? "/" : "",
						     prefix, name),
				   .mode = S_IFREG };

	tar_put_entry(&changes->packer.buffer, &entry);
	tar_entry_done(&entry);
}

/* Without its content. */
static void put_name(struct changes *changes, const char *path, const struct stat *st)
{
	_cleanup_(tar_entry_done) struct tar_entry entry = { 0 };

	packer_fill(st, path, &entry);
	if (S_ISLNK(st->st_mode))
		entry.link = xstrdup(".");
	tar_put_entry(&changes->packer.buffer, &entry);
}

static int put_changes(struct changes *changes, int upper, int merged, const char *path,
		       unsigned depth, struct error **ret_error);

/* In one that has been renamed all is new, and most of it is in the mount alone. */
static int put_directory(struct changes *changes, int upper, int merged, const char *path,
			 unsigned depth, struct error **ret_error)
{
	const bool is_renamed = has_xattr(upper, REDIRECT);
	_cleanup_(tar_entry_done) struct tar_entry entry = { 0 };
	struct stat st;

	if (fstat(merged, &st) < 0)
		return error_set_errno(ret_error, errno, "cannot stat %s", path);
	packer_fill(&st, path, &entry);
	packer_put_directory(&changes->packer, merged, &entry);
	if (is_opaque(upper) || is_renamed)
		put_empty(changes, path, "", TAR_OPAQUE);
	return put_changes(changes, is_renamed ? merged : upper, merged, path, depth, ret_error);
}

static int put_changed_directory(struct changes *changes, int upper_dir, int merged_dir,
				 const char *name, const char *path, unsigned depth,
				 struct error **ret_error)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
	_cleanup_close_ int upper = openat(upper_dir, name, flags);
	_cleanup_close_ int merged = upper < 0 ? -1 : openat(merged_dir, name, flags);

	/* Gone meanwhile, or something else. */
	if (merged < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
			   ? 0
			   : error_set_errno(ret_error, errno, "cannot open %s", path);
	/* Made for the mounts; of one that was there, its owner and mode may have changed. */
	if ((changes->is->names_only || !has_xattr(upper, COPIED)) &&
	    find_mount_point(changes, path) == 0 && !has_changes(changes, upper, path, depth))
		return 0;
	return put_directory(changes, upper, merged, path, depth, ret_error);
}

static int put_change(struct changes *changes, int upper, int merged, const char *directory,
		      const char *name, unsigned depth, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s%s%s", directory, directory[0] ? "/" : "", name);
	struct stat st;

	if (fstatat(upper, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0
				       : error_set_errno(ret_error, errno, "cannot stat %s", path);
	if (find_mount_point(changes, path) > 0 || S_ISSOCK(st.st_mode) ||
	    strncmp(name, TAR_WHITEOUT, strlen(TAR_WHITEOUT)) == 0)
		return 0;
	if (S_ISDIR(st.st_mode))
		return put_changed_directory(changes, upper, merged, name, path, depth, ret_error);
	if (S_ISCHR(st.st_mode) && st.st_rdev == 0)
		put_empty(changes, directory, TAR_WHITEOUT, name);
	else if (changes->is->names_only)
		put_name(changes, path, &st);
	else
		return packer_put(&changes->packer, merged, name, path, depth, ret_error);
	return 0;
}

static int put_changes(struct changes *changes, int upper, int merged, const char *path,
		       unsigned depth, struct error **ret_error)
{
	_cleanup_dir_ DIR *dir = NULL;
	const struct dirent *entry;

	if (depth == DEPTH_MAX)
		return error_set_errno(ret_error, ELOOP, "%s: directories nest too deep", path);
	dir = open_directory(upper);
	if (!dir)
		return error_set_errno(ret_error, errno, "cannot read %s", path);
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    (put_change(changes, upper, merged, path, entry->d_name, depth + 1, ret_error) <
			 0 ||
		     packer_flush(&changes->packer, CHUNK, ret_error) < 0))
			return -1;
	return 0;
}

int tar_pack_changes(int fd, const struct tar_changes *changes, struct error **ret_error)
{
	const struct tar_pack pack = { .has_xattrs = true };
	struct changes all = { .packer = { .is = &pack, .fd = fd }, .is = changes };
	int result;

	result = put_changes(&all, changes->upper, changes->merged, "", 0, ret_error);
	if (result == 0)
		result = packer_end(&all.packer, ret_error);
	packer_done(&all.packer);
	return result;
}
