/* SPDX-License-Identifier: Apache-2.0 */
/* Copying a directory's content, for tmpcopyup and copyup: see mounts.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/mounts.h"
#include "base/io.h"

#define COPY_DEPTH_MAX 128

static int copy_children(int from_fd, int to_fd, unsigned int depth, struct error **ret_error);

static int copy_file(int from_dir, int to_dir, const char *name, struct error **ret_error)
{
	_cleanup_close_ int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_close_ int to =
	    openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (from < 0 || to < 0 || copy_bytes(from, NULL, to, SSIZE_MAX) < 0)
		return error_set_errno(ret_error, errno, "cannot copy %s", name);
	return 0;
}

static int copy_link(int from_dir, int to_dir, const char *name, struct error **ret_error)
{
	char target[4096];
	ssize_t length = readlinkat(from_dir, name, target, sizeof(target) - 1);

	if (length >= 0)
		target[length] = '\0';
	if (length < 0 || symlinkat(target, to_dir, name) < 0)
		return error_set_errno(ret_error, errno, "cannot copy the link %s", name);
	return 0;
}

static int copy_directory(int from_dir, int to_dir, const char *name, unsigned int depth,
			  struct error **ret_error)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	_cleanup_close_ int from = openat(from_dir, name, flags);
	_cleanup_close_ int to = -1;

	if (mkdirat(to_dir, name, 0700) == 0)
		to = openat(to_dir, name, flags);
	if (from < 0 || to < 0)
		return error_set_errno(ret_error, errno, "cannot copy the directory %s", name);
	return copy_children(from, to, depth, ret_error);
}

static int copy_one(int from_dir, int to_dir, const char *name, unsigned int depth,
		    struct error **ret_error)
{
	struct timespec times[2];
	struct stat st;
	int result;

	if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set_errno(ret_error, errno, "cannot stat %s", name);
	if (S_ISDIR(st.st_mode))
		result = copy_directory(from_dir, to_dir, name, depth, ret_error);
	else if (S_ISREG(st.st_mode))
		result = copy_file(from_dir, to_dir, name, ret_error);
	else if (S_ISLNK(st.st_mode))
		result = copy_link(from_dir, to_dir, name, ret_error);
	else if (mknodat(to_dir, name, st.st_mode & (S_IFMT | 0600), st.st_rdev) < 0)
		result = error_set_errno(ret_error, errno, "cannot copy the node %s", name);
	else
		result = 0;
	if (result < 0)
		return -1;
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	/* On a share of a user who may not give files away, they stay his. */
	if ((fchownat(to_dir, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0 &&
	     errno != EPERM) ||
	    (!S_ISLNK(st.st_mode) && fchmodat(to_dir, name, st.st_mode & 07777, 0) < 0) ||
	    utimensat(to_dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set_errno(ret_error, errno, "cannot set the owner of %s", name);
	return 0;
}

static int copy_children(int from_fd, int to_fd, unsigned int depth, struct error **ret_error)
{
	_cleanup_dir_ DIR *dir = NULL;
	_cleanup_close_ int dir_fd = fcntl(from_fd, F_DUPFD_CLOEXEC, 0);
	struct dirent *entry;

	if (depth == COPY_DEPTH_MAX)
		return error_set_errno(ret_error, ELOOP, "directories nest too deep");
	dir = dir_fd < 0 ? NULL : fdopendir(dir_fd);
	if (!dir)
		return error_set_errno(ret_error, errno, "cannot read a directory");
	(void)TAKE_FD(dir_fd);
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    copy_one(from_fd, to_fd, entry->d_name, depth + 1, ret_error) < 0)
			return -1;
	return 0;
}

int copy_tree(int from_fd, int to_fd, struct error **ret_error)
{
	return copy_children(from_fd, to_fd, 0, ret_error);
}

int copy_tree_into_empty(int from_fd, int to_fd, struct error **ret_error)
{
	struct timespec times[2];
	struct stat st;

	if (!directory_is_empty(to_fd, "."))
		return 0;
	if (copy_tree(from_fd, to_fd, ret_error) < 0)
		return -1;
	if (fstat(from_fd, &st) < 0 ||
	    (fchown(to_fd, st.st_uid, st.st_gid) < 0 && errno != EPERM) ||
	    fchmod(to_fd, st.st_mode & 07777) < 0)
		return error_set_errno(ret_error, errno, "cannot set the directory's owner");
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	(void)futimens(to_fd, times);
	return 0;
}
