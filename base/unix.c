/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets and passing descriptors: see io.h. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"

/*
 * Fills the address of path.  One that does not fit sun_path goes through an
 * fd of its directory, *ret_dir_fd, which must stay open while the address is
 * in use.
 */
static int fill_address(const char *path, struct sockaddr_un *ret_address, int *ret_dir_fd)
{
	_cleanup_free_ char *directory = NULL;
	_cleanup_free_ char *name = NULL;
	int n;

	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) < sizeof(ret_address->sun_path)) {
		memcpy(ret_address->sun_path, path, strlen(path));
		return 0;
	}
	directory = xstrdup(path);
	name = xstrdup(path);
	*ret_dir_fd = open(dirname(directory), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*ret_dir_fd < 0)
		return -1;
	n = snprintf(ret_address->sun_path, sizeof(ret_address->sun_path), "/proc/self/fd/%d/%s",
		     *ret_dir_fd, basename(name));
	if (n < 0 || (size_t)n >= sizeof(ret_address->sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return 0;
}

int unix_listen(const char *path, mode_t mode, struct error **ret_error)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int dir_fd = -1;
	struct sockaddr_un address;

	if (fd < 0 || fill_address(path, &address, &dir_fd) < 0)
		return error_set_errno(ret_error, errno, "cannot make the socket %s", path);
	/* fchmod() before bind() sets the mode the file is born with. */
	if (fchmod(fd, mode) < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, SOMAXCONN) < 0)
		return error_set_errno(ret_error, errno, "cannot listen on %s", path);
	return TAKE_FD(fd);
}

static int connect_to(const char *path, int flags, struct error **ret_error)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	_cleanup_close_ int dir_fd = -1;
	struct sockaddr_un address;

	if (fd < 0 || fill_address(path, &address, &dir_fd) < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set_errno(ret_error, errno, "cannot connect to %s", path);
	return TAKE_FD(fd);
}

int unix_connect(const char *path, struct error **ret_error)
{
	return connect_to(path, 0, ret_error);
}

int unix_connect_nonblocking(const char *path, struct error **ret_error)
{
	return connect_to(path, SOCK_NONBLOCK, ret_error);
}

int unix_pair(int *ret_one, int *ret_other, struct error **ret_error)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set_errno(ret_error, errno, "cannot make a socket");
	*ret_one = ends[0];
	*ret_other = ends[1];
	return 0;
}

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
};

ssize_t send_with_fds(int socket, const void *bytes, size_t size, const int *fds, size_t n_fds)
{
	union control control = { .header = { 0 } };
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (n_fds > FD_PASS_MAX) {
		errno = E2BIG;
		return -1;
	}
	if (n_fds > 0) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
	}
	do
		n = sendmsg(socket, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n;
}

ssize_t recv_with_fds(int socket, void *bytes, size_t size, int *ret_fds, size_t *ret_n_fds)
{
	union control control;
	struct iovec iov = { .iov_base = bytes, .iov_len = size };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	ssize_t n;

	*ret_n_fds = 0;
	do
		n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (*ret_n_fds < FD_PASS_MAX)
				ret_fds[(*ret_n_fds)++] = fd;
			else
				(void)close(fd);
		}
	}
	return n;
}
