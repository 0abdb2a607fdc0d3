/* SPDX-License-Identifier: Apache-2.0 */
/* A socket that QEMU connects to: see qemu-listener.h. */
#include "vmm/qemu/qemu-listener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"

int qemu_listener_new(int *ret_listener, int *ret_file, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("qemu-%d.sock", (int)getpid());
	_cleanup_free_ char *link = NULL;
	_cleanup_close_ int listener = -1;
	int file;

	(void)unlink(path); /* of a VMM that was killed meanwhile */
	listener = unix_listen(path, 0600, ret_error);
	if (listener < 0)
		return -1;
	file = open(path, O_PATH | O_CLOEXEC);
	if (file < 0)
		(void)error_set_errno(ret_error, errno, "cannot open %s", path);
	(void)unlink(path);
	if (file < 0)
		return -1;
	/* QEMU may be another user, and is the only one who has the file. */
	link = xasprintf("/proc/self/fd/%d", file);
	if (chmod(link, 0666) < 0) {
		(void)error_set_errno(ret_error, errno, "cannot give %s to QEMU", path);
		(void)close(file);
		return -1;
	}
	*ret_listener = TAKE_FD(listener);
	*ret_file = file;
	return 0;
}

int qemu_listener_accept(int listener, int pidfd, int *ret_socket, struct error **ret_error)
{
	struct pollfd fds[] = { { .fd = listener, .events = POLLIN },
				{ .fd = pidfd, .events = POLLIN } };
	int socket;

	while (poll(fds, ARRAY_SIZE(fds), -1) < 0)
		if (errno != EINTR)
			return error_set_errno(ret_error, errno, "cannot wait for QEMU");
	if (!(fds[0].revents & POLLIN))
		return 0;
	socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (socket < 0)
		return error_set_errno(ret_error, errno, "cannot accept QEMU's connection");
	*ret_socket = socket;
	return 1;
}
