/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptors that the VMM inherits: see inherited.h. */
#include "vmm/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

static bool is_file(int fd, const struct stat *st)
{
	(void)fd;
	return S_ISREG(st->st_mode);
}

static bool is_disk(int fd, const struct stat *st)
{
	(void)fd;
	return S_ISREG(st->st_mode) || S_ISBLK(st->st_mode);
}

static bool is_directory(int fd, const struct stat *st)
{
	(void)fd;
	return S_ISDIR(st->st_mode);
}

static bool is_output(int fd, const struct stat *st)
{
	(void)fd;
	return !S_ISDIR(st->st_mode);
}

/* Of a socket; -1: it is none. */
static int option_of(int fd, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0 ? -1 : value;
}

static bool is_stream(int fd, const struct stat *st)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof(peer);

	return S_ISSOCK(st->st_mode) && option_of(fd, SO_TYPE) == SOCK_STREAM &&
	       getpeername(fd, (struct sockaddr *)&peer, &size) == 0;
}

static bool is_listener(int fd, const struct stat *st)
{
	return S_ISSOCK(st->st_mode) && option_of(fd, SO_DOMAIN) == AF_UNIX &&
	       option_of(fd, SO_TYPE) == SOCK_STREAM && option_of(fd, SO_ACCEPTCONN) == 1;
}

/* A tap is known by its device's constructor. */
static bool is_link(int fd, const struct stat *st)
{
	return S_ISCHR(st->st_mode) || (is_stream(fd, st) && option_of(fd, SO_DOMAIN) == AF_UNIX);
}

/* Which one, too. */
static bool is_character(int fd, const struct stat *st)
{
	(void)fd;
	return S_ISCHR(st->st_mode);
}

static const struct {
	bool (*is)(int fd, const struct stat *st);
	const char *name;
	bool reads, writes;
} kinds[] = {
	[VM_FD_FILE] = { .is = is_file, .name = "a regular file", .reads = true },
	[VM_FD_DISK] = { .is = is_disk, .name = "a regular file or a block device", .reads = true },
	[VM_FD_DIRECTORY] = { .is = is_directory, .name = "a directory" },
	[VM_FD_OUTPUT] = { .is = is_output, .name = "something to write to", .writes = true },
	[VM_FD_STREAM] = { .is = is_stream, .name = "a connected stream socket" },
	[VM_FD_LISTENER] = { .is = is_listener, .name = "a listening unix stream socket" },
	[VM_FD_LINK] = { .is = is_link,
			 .name = "a character device or a connected unix stream socket",
			 .reads = true,
			 .writes = true },
	[VM_FD_CHARACTER] = { .is = is_character,
			      .name = "a character device",
			      .reads = true,
			      .writes = true },
};

static int check_one(const struct vm_named_fd *fd, struct error **ret_error)
{
	const int flags = fcntl(fd->number, F_GETFL);
	struct stat st;

	if (flags < 0 || fstat(fd->number, &st) < 0)
		return error_set_errno(ret_error, errno, "%s: cannot use descriptor %d", fd->place,
				       fd->number);
	if (!kinds[fd->kind].is(fd->number, &st))
		return error_set(ret_error, EINVAL, "%s: descriptor %d is not %s", fd->place,
				 fd->number, kinds[fd->kind].name);
	if (kinds[fd->kind].reads && ((flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY))
		return error_set(ret_error, EACCES, "%s: descriptor %d is not open for reading",
				 fd->place, fd->number);
	if (kinds[fd->kind].writes && ((flags & O_PATH) || (flags & O_ACCMODE) == O_RDONLY))
		return error_set(ret_error, EACCES, "%s: descriptor %d is not open for writing",
				 fd->place, fd->number);
	return 0;
}

/* What uses a descriptor closes it in the end.  Only outputs may be one: the log and the
 * serial port, say. */
static int check_twice(const struct vm_named_fd *fd, const struct vm_named_fd *other,
		       struct error **ret_error)
{
	if (fd->number != other->number ||
	    (fd->kind == VM_FD_OUTPUT && other->kind == VM_FD_OUTPUT))
		return 0;
	return error_set(ret_error, EINVAL, "%s: descriptor %d is that of %s already", fd->place,
			 fd->number, other->place);
}

int inherited_check(const struct vm_config *config, struct error **ret_error)
{
	struct vm_named_fd fds[VM_FDS_MAX];
	const size_t n = vm_config_fds(config, fds);

	for (size_t i = 0; i < n; i++) {
		if (check_one(&fds[i], ret_error) < 0)
			return -1;
		for (size_t other = 0; other < i; other++)
			if (check_twice(&fds[i], &fds[other], ret_error) < 0)
				return -1;
	}
	return 0;
}

static int compare_numbers(const void *a, const void *b)
{
	const struct vm_named_fd *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

void inherited_close_others(const struct vm_config *config)
{
	struct vm_named_fd fds[VM_FDS_MAX];
	const size_t n = vm_config_fds(config, fds);
	int next = STDERR_FILENO + 1;

	qsort(fds, n, sizeof(fds[0]), compare_numbers);
	for (size_t i = 0; i < n; i++) {
		if (fds[i].number < next)
			continue;
		if (fds[i].number > next)
			(void)close_range((unsigned)next, (unsigned)fds[i].number - 1, 0);
		next = fds[i].number + 1;
	}
	(void)close_range((unsigned)next, UINT_MAX, 0);
}
