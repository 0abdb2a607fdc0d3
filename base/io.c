/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptor helpers: see io.h. */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"

#define COPY_MAX ((size_t)1 << 30) /* at once */

void close_fdp(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd);
	errno = saved;
}

ssize_t read_all(int fd, void *bytes, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, (char *)bytes + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int write_all(int fd, const void *bytes, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = write(fd, (const char *)bytes + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		done += (size_t)n;
	}
	return 0;
}

ssize_t copy_bytes(int from_fd, off_t *at, int to_fd, size_t size)
{
	size_t done = 0;

	while (done < size) {
		/* (The kernel refuses more than what is left up to the largest offset.) */
		ssize_t n = sendfile(to_fd, from_fd, at, MIN(size - done, COPY_MAX));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int read_file_fd(int fd, const char *name, size_t max_size, char **ret_text, size_t *ret_size,
		 struct error **ret_error)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0, capacity = 0;

	for (;;) {
		ssize_t n;

		if (size == capacity) {
			capacity = capacity ? capacity * 2 : 4096;
			text = xreallocarray(text, capacity + 1, 1);
		}
		n = read_all(fd, text + size, capacity - size);
		if (n < 0)
			return error_set_errno(ret_error, errno, "cannot read %s", name);
		size += (size_t)n;
		if (size > max_size)
			return error_set(ret_error, EFBIG, "%s is larger than %zu bytes", name,
					 max_size);
		if (size < capacity)
			break; /* read_all() has met the end */
	}
	text[size] = '\0';
	*ret_text = TAKE_PTR(text);
	if (ret_size)
		*ret_size = size;
	return 0;
}

int read_file(const char *path, size_t max_size, char **ret_text, size_t *ret_size,
	      struct error **ret_error)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", path);
	return read_file_fd(fd, path, max_size, ret_text, ret_size, ret_error);
}

int open_regular_file(int dir_fd, const char *path, int flags)
{
	_cleanup_close_ int fd =
	    openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		return -1;
	}
	return TAKE_FD(fd);
}

int read_regular_file(const char *path, size_t max_size, char **ret_text, size_t *ret_size,
		      struct error **ret_error)
{
	_cleanup_close_ int fd = open_regular_file(AT_FDCWD, path, O_NOFOLLOW);

	if (fd < 0 && errno == EINVAL)
		return error_set(ret_error, EINVAL, "%s: not a regular file", path);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", path);
	return read_file_fd(fd, path, max_size, ret_text, ret_size, ret_error);
}

static int replace_file(const char *path, const void *bytes, size_t size, mode_t mode,
			bool is_synced, struct error **ret_error)
{
	_cleanup_free_ char *temporary = xasprintf("%s.XXXXXX", path);
	_cleanup_close_ int fd = mkostemp(temporary, O_CLOEXEC);

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot create a file beside %s", path);
	if (write_all(fd, bytes, size) < 0 || fchmod(fd, mode) < 0 ||
	    (is_synced && fsync(fd) < 0) || rename(temporary, path) < 0) {
		int code = errno;

		(void)unlink(temporary);
		return error_set_errno(ret_error, code, "cannot write %s", path);
	}
	return 0;
}

int write_file_atomic(const char *path, const void *bytes, size_t size, mode_t mode,
		      struct error **ret_error)
{
	return replace_file(path, bytes, size, mode, false, ret_error);
}

int write_file_synced(const char *path, const void *bytes, size_t size, mode_t mode,
		      struct error **ret_error)
{
	return replace_file(path, bytes, size, mode, true, ret_error);
}

int write_file(const char *path, const char *text, struct error **ret_error)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", path);
	if (write(fd, text, strlen(text)) < 0)
		return error_set_errno(ret_error, errno, "cannot write \"%s\" to %s", text, path);
	return 0;
}

static int set_flag(int fd, int get, int set, int flag, bool on)
{
	int flags = fcntl(fd, get);

	if (flags < 0)
		return -1;
	return fcntl(fd, set, on ? flags | flag : flags & ~flag);
}

int set_nonblocking(int fd, bool nonblocking)
{
	return set_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, nonblocking);
}

int set_cloexec(int fd, bool cloexec)
{
	return set_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, cloexec);
}

int pipe_open(int *ret_reading, int *ret_writing, struct error **ret_error)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(ret_error, errno, "cannot make a pipe");
	*ret_reading = ends[0];
	*ret_writing = ends[1];
	return 0;
}

int lock_file(int fd, int operation)
{
	int result;

	do
		result = flock(fd, operation);
	while (result < 0 && errno == EINTR);
	return result;
}

bool socket_is_connected(int fd)
{
	socklen_t size = sizeof(int);
	int code = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) == 0 && code == 0;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

bool directory_is_empty(int dir_fd, const char *name)
{
	_cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (dir)
		(void)TAKE_FD(fd);
	while (dir && (entry = readdir(dir)))
		if (!is_dots(entry->d_name))
			return false;
	return dir;
}

int open_unnamed_file(const char *directory)
{
	_cleanup_free_ char *path = xasprintf("%s/unnamed.XXXXXX", directory);
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || errno != EOPNOTSUPP)
		return fd;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		(void)unlink(path);
	return fd;
}

int absolute_path(const char *path, char **ret_path, struct error **ret_error)
{
	_cleanup_free_ char *directory = path[0] == '/' ? xstrdup("") : getcwd(NULL, 0);

	if (!directory)
		return error_set_errno(ret_error, errno, "cannot find the current directory");
	*ret_path = path[0] == '/' ? xstrdup(path) : xasprintf("%s/%s", directory, path);
	return 0;
}

int make_directories(const char *path, mode_t mode, struct error **ret_error)
{
	_cleanup_free_ char *copy = xstrdup(path);

	for (char *p = copy + 1; p[-1] != '\0'; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return error_set_errno(ret_error, errno, "cannot make the directory %s",
					       copy);
		*p = c;
	}
	return 0;
}

/* How deep a tree is may be a guest's choice: below this, directories are moved to its top, where
 * they are met again, so neither descriptors nor the stack run out. */
#define REMOVE_DEPTH_MAX 32

struct removal {
	int top; /* the directory of the tree */
	dev_t device;
	unsigned depth, moved;
};

/* (One that is there by that name and empty is replaced.) */
static int move_to_top(struct removal *removal, int dir_fd, const char *name)
{
	char new_name[32];

	do {
		(void)snprintf(new_name, sizeof(new_name), ".removed-%u", removal->moved++);
		if (renameat(dir_fd, name, removal->top, new_name) == 0 || errno == ENOENT)
			return 0;
	} while (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR);
	return -1;
}

static int remove_children(struct removal *removal, int fd);

static int remove_directory(struct removal *removal, int dir_fd, const char *name)
{
	int fd, r;

	if (removal->depth == REMOVE_DEPTH_MAX)
		return move_to_top(removal, dir_fd, name);
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	removal->depth++;
	r = remove_children(removal, fd);
	removal->depth--;
	if (r < 0)
		return -1;
	return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -1 : 0;
}

/* (Another may be faster, here and everywhere below.) */
static int remove_child(struct removal *removal, int dir_fd, const char *name)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISDIR(st.st_mode))
		return unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? -1 : 0;
	if (st.st_dev == removal->device)
		return remove_directory(removal, dir_fd, name);
	errno = EXDEV;
	return -1;
}

/* Takes over the directory's fd. */
static int remove_children(struct removal *removal, int fd)
{
	_cleanup_dir_ DIR *dir = fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		(void)close(fd);
		return -1;
	}
	while ((entry = readdir(dir)))
		if (!is_dots(entry->d_name) && remove_child(removal, dirfd(dir), entry->d_name) < 0)
			return -1;
	return 0;
}

/* As often as something was moved to the top. */
static int remove_below(int fd, dev_t device)
{
	struct removal removal = { .top = fd, .device = device };
	unsigned before;

	do {
		const int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		before = removal.moved;
		if (again < 0 || remove_children(&removal, again) < 0)
			return -1;
	} while (removal.moved != before);
	return 0;
}

int remove_tree(const char *path, struct error **ret_error)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return error_set_errno(ret_error, errno, "cannot stat %s", path);
	}
	if (!S_ISDIR(st.st_mode)) {
		if (unlink(path) < 0 && errno != ENOENT)
			return error_set_errno(ret_error, errno, "cannot remove %s", path);
		return 0;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || remove_below(fd, st.st_dev) < 0 || (rmdir(path) < 0 && errno != ENOENT))
		return error_set_errno(ret_error, errno, "cannot remove %s", path);
	return 0;
}

bool root_is_mount_point(void)
{
	struct statx st;

	return statx(AT_FDCWD, "/", 0, 0, &st) < 0 ||
	       !(st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) ||
	       (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}
