/* SPDX-License-Identifier: Apache-2.0 */
/* Facts kept until the next boot: see runtime-file.h. */
#include "host/runtime-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

char *boot_id(void)
{
	char *boot = NULL;

	if (read_file(BOOT_ID, 64, &boot, NULL, NULL) < 0)
		return NULL;
	boot[strcspn(boot, "\n")] = '\0';
	return boot;
}

/* This user's own, and nobody else can write to it. */
static bool is_trusted(int fd, mode_t type)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type && st.st_uid == geteuid() &&
	       (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static int open_directory(const char *directory)
{
	_cleanup_close_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && is_trusted(fd, S_IFDIR) ? TAKE_FD(fd) : -1;
}

int runtime_file_load(const char *directory, const char *name, size_t size_max, char **ret_text,
		      size_t *ret_size)
{
	_cleanup_close_ int dir_fd = open_directory(directory);
	_cleanup_close_ int fd = -1;

	if (dir_fd < 0)
		return -1;
	/* O_NONBLOCK: a FIFO there must not make us wait. */
	fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || !is_trusted(fd, S_IFREG))
		return -1;
	return read_file_fd(fd, name, size_max, ret_text, ret_size, NULL);
}

int runtime_file_save(const char *directory, const char *name, const char *text, size_t size,
		      struct error **ret_error)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int dir_fd = -1;

	if (make_directories(directory, 0700, ret_error) < 0)
		return -1;
	dir_fd = open_directory(directory);
	if (dir_fd < 0)
		return error_set(ret_error, EPERM, "%s is not this user's own", directory);
	/* Through the descriptor: what was looked at is what is written to. */
	path = xasprintf("/proc/self/fd/%d/%s", dir_fd, name);
	return write_file_atomic(path, text, size, 0600, ret_error);
}

void runtime_file_remove(const char *directory, const char *name)
{
	_cleanup_close_ int dir_fd = open_directory(directory);

	if (dir_fd >= 0)
		(void)unlinkat(dir_fd, name, 0);
}
