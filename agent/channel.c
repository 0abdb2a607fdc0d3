/* SPDX-License-Identifier: Apache-2.0 */
/* The channel between the agent and its setup children: see channel.h. */
#include "agent/channel.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"

int channel_pair(int *ret_agent_fd, int *ret_child_fd, struct error **ret_error)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return error_set_errno(ret_error, errno, "cannot make a setup channel");
	(void)set_nonblocking(fds[0], true);
	*ret_agent_fd = fds[0];
	*ret_child_fd = fds[1];
	return 0;
}

int channel_send(int channel_fd, enum channel_type type, int32_t code, const char *text, int fd,
		 struct error **ret_error)
{
	struct channel_message message = { .type = type, .code = code };
	size_t length = text ? strnlen(text, CHANNEL_TEXT_MAX - 1) : 0;
	size_t size = offsetof(struct channel_message, text) + length + 1;
	ssize_t n;

	if (length > 0)
		memcpy(message.text, text, length);
	do {
		/* write(2) where it will do: a container's seccomp filter may
		 * already be in force. */
		n = fd >= 0 ? send_with_fds(channel_fd, &message, size, &fd, 1)
			    : write(channel_fd, &message, size);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_set_errno(ret_error, errno, "cannot write to the setup channel");
	return 0;
}

int channel_receive(int channel_fd, struct channel_message *ret_message, int *ret_fd,
		    struct error **ret_error)
{
	struct channel_message message = { 0 };
	int fds[FD_PASS_MAX];
	size_t n_fds = 0;
	ssize_t n;

	do {
		n = recv_with_fds(channel_fd, &message, sizeof(message), fds, &n_fds);
	} while (n < 0 && errno == EINTR);
	/* A child killed with our message unread makes the end a reset. */
	if (n < 0 && errno == ECONNRESET)
		return 0;
	if (n < 0)
		return error_set_errno(ret_error, errno, "cannot read the setup channel");
	for (size_t i = 1; i < n_fds; i++)
		(void)close(fds[i]);
	if (n == 0)
		return 0;
	message.text[CHANNEL_TEXT_MAX - 1] = '\0';
	*ret_message = message;
	*ret_fd = n_fds > 0 ? fds[0] : -1;
	return 1;
}

int channel_expect(int channel_fd, enum channel_type type, struct error **ret_error)
{
	struct channel_message message = { 0 };
	ssize_t n;

	do {
		n = read(channel_fd, &message, sizeof(message));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_set_errno(ret_error, errno, "cannot read the setup channel");
	if (n == 0 || message.type != (uint32_t)type)
		return error_set(ret_error, ECANCELED, "the setup was cancelled");
	return 0;
}
