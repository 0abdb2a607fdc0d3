/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that the guest gets: see descriptors.h. */
#include "host/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define NULL_DEVICE makedev(1, 3)

static int refuse(int number, const char *what, struct error **ret_error)
{
	return error_set(ret_error, ENOTSUP,
			 "descriptor %d is %s: only files, pipes, terminals and stream sockets can "
			 "be passed to a guest",
			 number, what);
}

static int socket_kind(int fd, int number, Agent__Descriptor__Kind *ret_kind,
		       struct error **ret_error)
{
	int type = 0, listens = 0;
	socklen_t size = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0)
		return error_set_errno(ret_error, errno, "descriptor %d", number);
	if (type != SOCK_STREAM)
		return refuse(number, "a socket of packets", ret_error);
	*ret_kind =
	    listens ? AGENT__DESCRIPTOR__KIND__LISTENER : AGENT__DESCRIPTOR__KIND__BOTH_WAYS;
	return 0;
}

/* Both ways: its one offset could not serve what is read ahead and what is written. */
static int file_kind(int number, int access, Agent__Descriptor__Kind *ret_kind,
		     struct error **ret_error)
{
	if (access == O_RDWR)
		return refuse(number, "a file that is open for reading and for writing", ret_error);
	*ret_kind =
	    access == O_RDONLY ? AGENT__DESCRIPTOR__KIND__INPUT : AGENT__DESCRIPTOR__KIND__OUTPUT;
	return 0;
}

/* Both ways: for output. A FIFO would give what is written to it back to us, before its reader
 * comes, and a terminal what the user types, which is stdin's. */
static Agent__Descriptor__Kind pipe_kind(int access)
{
	return access == O_RDONLY ? AGENT__DESCRIPTOR__KIND__INPUT
				  : AGENT__DESCRIPTOR__KIND__OUTPUT;
}

static int device_kind(int fd, int number, dev_t device, int access,
		       Agent__Descriptor__Kind *ret_kind, struct error **ret_error)
{
	if (device == NULL_DEVICE)
		*ret_kind = AGENT__DESCRIPTOR__KIND__NOTHING;
	else if (!isatty(fd))
		return refuse(number, "a device", ret_error);
	else
		*ret_kind = pipe_kind(access);
	return 0;
}

int descriptor_kind(int fd, int number, Agent__Descriptor__Kind *ret_kind, struct error **ret_error)
{
	const int flags = fcntl(fd, F_GETFL);
	const int access = flags & O_ACCMODE;
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		return error_set_errno(ret_error, errno, "descriptor %d", number);
	if (flags & O_PATH)
		return refuse(number, "only the name of a file (O_PATH)", ret_error);
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return file_kind(number, access, ret_kind, ret_error);
	case S_IFIFO:
		*ret_kind = pipe_kind(access);
		return 0;
	case S_IFSOCK:
		return socket_kind(fd, number, ret_kind, ret_error);
	case S_IFCHR:
		return device_kind(fd, number, st.st_rdev, access, ret_kind, ret_error);
	case S_IFDIR:
		return refuse(number, "a directory", ret_error);
	case S_IFBLK:
		return refuse(number, "a block device", ret_error);
	default: /* eventfd(2), epoll(7) and their like */
		return refuse(number, "an object of the host's kernel", ret_error);
	}
}
