/* SPDX-License-Identifier: Apache-2.0 */
/* Opening volumes: see volume.h. */
#include "host/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/clone-file.h"
#include "base/io.h"
#include "host/allow.h"
#include "host/beneath.h"

/* Every file system that Linux knows has its mark in here. */
#define BLANK_SIZE (128U << 10)
#define MKFS_FD 3

static int open_file(const struct volume *volume, const char *const *within,
		     struct error **ret_error)
{
	const int flags = (volume->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY |
			  O_NONBLOCK; /* not to wait for the other end of a FIFO */
	const char *operation = "open";
	int fd = beneath_open(within, volume->source, flags, 0);

	if (fd < 0 && errno == ENOENT && volume->size > 0 && !volume->readonly) {
		operation = "create";
		fd = beneath_open(within, volume->source, flags | O_CREAT, 0600);
	}
	if (fd < 0 && errno == EXDEV)
		return allow_refuse_path(volume->source, ret_error);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot %s the volume %s", operation,
				       volume->source);
	return fd;
}

/* Under the lock: who else makes it does so, too. */
static int find_size(const struct volume *volume, int fd, uint64_t *ret_size,
		     struct error **ret_error)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set_errno(ret_error, errno, "cannot stat the volume %s",
				       volume->source);
	if (S_ISREG(st.st_mode) && st.st_size == 0 && volume->size > 0 && !volume->readonly) {
		if (ftruncate(fd, (off_t)volume->size) < 0)
			return error_set_errno(ret_error, errno,
					       "cannot resize the volume %s to %llu bytes",
					       volume->source, (unsigned long long)volume->size);
		*ret_size = volume->size;
		return 0;
	}
	*ret_size = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, ret_size) < 0)
		return error_set_errno(ret_error, errno, "cannot get the size of %s",
				       volume->source);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return error_set(ret_error, EINVAL,
				 "the volume %s is neither a file nor a block device",
				 volume->source);
	if (*ret_size == 0)
		return error_set(ret_error, EINVAL, "the volume %s is empty: give size=SIZE",
				 volume->source);
	return 0;
}

static int is_blank(const struct volume *volume, int fd, bool *ret_blank, struct error **ret_error)
{
	_cleanup_free_ char *bytes = xmalloc(BLANK_SIZE);
	ssize_t n = pread(fd, bytes, BLANK_SIZE, 0);

	if (n < 0)
		return error_set_errno(ret_error, errno, "cannot read the volume %s",
				       volume->source);
	*ret_blank = n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, (size_t)n - 1) == 0);
	return 0;
}

static void __attribute__((noreturn)) run_mkfs(int fd)
{
	char path[32];
	char *argv[] = { (char *)"mkfs.ext4", (char *)"-q", (char *)"-F", path, NULL };
	sigset_t none;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", MKFS_FD);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (fd == MKFS_FD ? set_cloexec(fd, false) == 0 : dup2(fd, MKFS_FD) >= 0) {
		(void)close_range(MKFS_FD + 1, ~0u, 0);
		/* sbin is not in everybody's PATH. */
		(void)execv("/sbin/mkfs.ext4", argv);
		(void)execvp("mkfs.ext4", argv);
	}
	_exit(127);
}

static int make_file_system(const struct volume *volume, int fd, struct error **ret_error)
{
	pid_t pid = fork(), ended;
	int status = 0;

	if (pid == 0)
		run_mkfs(fd);
	do {
		ended = pid < 0 ? -1 : waitpid(pid, &status, 0);
	} while (ended < 0 && pid > 0 && errno == EINTR);
	if (ended < 0)
		return error_set_errno(ret_error, errno, "cannot run mkfs.ext4");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return error_set(ret_error, ENOENT,
				 "the volume %s is blank, and there is no mkfs.ext4 to make a file "
				 "system: install e2fsprogs",
				 volume->source);
	if (status != 0)
		return error_set(ret_error, EIO,
				 "mkfs.ext4 could not make a file system on the volume %s (wait "
				 "status %#x): is it large enough?",
				 volume->source, (unsigned int)status);
	return 0;
}

static bool is_past(const struct volume_past *past, const struct stat *st)
{
	return S_ISREG(st->st_mode) && (uint64_t)st->st_size == past->size &&
	       timespec_ns(&st->st_mtim) == past->mtime;
}

/* ---- as it was in the past ---- */

/* What somebody has written since is not for us to overwrite. */
static int check_past(const struct volume *volume, int fd, struct error **ret_error)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set_errno(ret_error, errno, "cannot stat the volume %s",
				       volume->source);
	if (!is_past(volume->past, &st))
		return error_set(ret_error, EEXIST,
				 "the volume %s is not as it was at the checkpoint: move it away, "
				 "and the checkpoint's copy takes its place",
				 volume->source);
	return 0;
}

/* A file of that name beside the volume, locked; one that was left there by a copy that was
 * interrupted goes. */
static int make_beside(int dir_fd, const char *name)
{
	const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	_cleanup_close_ int left = openat(dir_fd, name, flags);
	_cleanup_close_ int fd = -1;

	if (left >= 0 && (flock(left, LOCK_EX | LOCK_NB) < 0 || unlinkat(dir_fd, name, 0) < 0))
		return -1;
	fd = openat(dir_fd, name, flags | O_CREAT | O_EXCL, 0600);
	return fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 ? -1 : TAKE_FD(fd);
}

static int fill_past(const struct volume *volume, int dir_fd, const char *new, const char *name,
		     int fd, struct error **ret_error)
{
	const struct timespec mtime = { (time_t)(volume->past->mtime / NS_PER_SECOND),
					(long)(volume->past->mtime % NS_PER_SECOND) };

	if (clone_file(volume->past->fd, fd, ret_error) < 0)
		return -1;
	/* So that it is known again when somebody tries once more. */
	if (futimens(fd, (struct timespec[]){ mtime, mtime }) < 0 ||
	    renameat2(dir_fd, new, dir_fd, name, RENAME_NOREPLACE) < 0 || fsync(dir_fd) < 0)
		return error_set_errno(ret_error, errno, "cannot give it its name");
	return 0;
}

/* It is not there, and has its name when it is whole. */
static int make_past(const struct volume *volume, const char *const *within, int *ret_fd,
		     struct error **ret_error)
{
	const char *name = strrchr(volume->source, '/') + 1;
	_cleanup_free_ char *directory =
	    xasprintf("%.*s", (int)(name - volume->source), volume->source);
	_cleanup_free_ char *new = xasprintf(".%.200s.new", name);
	_cleanup_close_ int dir_fd =
	    beneath_open(within, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	_cleanup_close_ int fd = -1;

	if (dir_fd < 0 && errno == EXDEV)
		return allow_refuse_path(volume->source, ret_error);
	fd = dir_fd < 0 ? -1 : make_beside(dir_fd, new);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot make %s%s", directory, new);
	if (fill_past(volume, dir_fd, new, name, fd, ret_error) < 0) {
		(void)unlinkat(dir_fd, new, 0);
		return error_wrap(ret_error, "cannot make the volume %s of the checkpoint's copy",
				  volume->source);
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static bool is_missing(const struct volume *volume, const char *const *within)
{
	_cleanup_close_ int fd = beneath_open(within, volume->source, O_PATH, 0);

	return fd < 0 && errno == ENOENT;
}

int volume_open(const struct volume *volume, const char *const *within, int *ret_fd,
		struct error **ret_error)
{
	_cleanup_close_ int fd = -1;
	bool blank = false;
	uint64_t size;

	if (volume->past && is_missing(volume, within))
		return make_past(volume, within, ret_fd, ret_error);
	fd = open_file(volume, within, ret_error);
	if (fd < 0)
		return -1;
	if (flock(fd, (volume->readonly ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return error_set(ret_error, EBUSY,
					 "the volume %s is in use by another machine",
					 volume->source);
		return error_set_errno(ret_error, errno, "cannot lock the volume %s",
				       volume->source);
	}
	if (volume->past && check_past(volume, fd, ret_error) < 0)
		return -1;
	if (find_size(volume, fd, &size, ret_error) < 0 ||
	    (volume->format && !volume->past && is_blank(volume, fd, &blank, ret_error) < 0))
		return -1;
	if (blank && volume->readonly)
		return error_set(ret_error, EINVAL, "the volume %s is blank, and read-only",
				 volume->source);
	if (blank && make_file_system(volume, fd, ret_error) < 0)
		return -1;
	*ret_fd = TAKE_FD(fd);
	return 0;
}
