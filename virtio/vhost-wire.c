/* SPDX-License-Identifier: Apache-2.0 */
/* vhost-user messages: see vhost-wire.h. */
#include "virtio/vhost-wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

void vhost_message_clear(struct vhost_message *message)
{
	for (size_t i = 0; i < message->n_fds; i++)
		close_fdp(&message->fds[i]);
	memset(message, 0, sizeof(*message));
}

static int check_header(const struct vhost_header *header, struct error **ret_error)
{
	if ((header->flags & ~VHOST_FLAG_NEED_REPLY) != VHOST_FLAG_VERSION)
		return error_set(ret_error, EPROTO, "request %u with flags 0x%x", header->request,
				 header->flags);
	if (header->size > sizeof(union vhost_payload))
		return error_set(ret_error, EMSGSIZE, "request %u of %u bytes, at most %zu",
				 header->request, header->size, sizeof(union vhost_payload));
	return 0;
}

/* One read: as its number of bytes, 0 when there is nothing now, -1. */
static ssize_t receive(struct vhost_message *message, int socket, char *at, size_t size,
		       struct error **ret_error)
{
	int fds[FD_PASS_MAX];
	size_t n_fds;
	ssize_t n = recv_with_fds(socket, at, size, fds, &n_fds);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0)
		return error_set_errno(ret_error, errno, "cannot read from the front-end");
	/* They come with a message's first byte. */
	if (message->received == 0) {
		memcpy(message->fds, fds, n_fds * sizeof(fds[0]));
		message->n_fds = n_fds;
	} else if (n_fds > 0) {
		for (size_t i = 0; i < n_fds; i++)
			close_fdp(&fds[i]);
		return error_set(ret_error, EPROTO, "descriptors in the middle of request %u",
				 message->header.request);
	}
	if (n == 0)
		return error_set(ret_error, ECONNRESET, "the front-end hung up");
	message->received += (size_t)n;
	return n;
}

int vhost_message_receive(struct vhost_message *message, int socket, struct error **ret_error)
{
	const size_t header_size = sizeof(message->header);
	ssize_t n;

	while (message->received < header_size) {
		n = receive(message, socket, (char *)&message->header + message->received,
			    header_size - message->received, ret_error);
		if (n <= 0)
			return (int)n;
		if (message->received == header_size &&
		    check_header(&message->header, ret_error) < 0)
			return -1;
	}
	while (message->received < header_size + message->header.size) {
		size_t done = message->received - header_size;

		n = receive(message, socket, (char *)&message->payload + done,
			    message->header.size - done, ret_error);
		if (n <= 0)
			return (int)n;
	}
	return 1;
}

int vhost_message_send(int socket, const struct vhost_header *header, const void *payload,
		       struct error **ret_error)
{
	struct iovec iov[] = {
		{ .iov_base = (void *)header, .iov_len = sizeof(*header) },
		{ .iov_base = (void *)payload, .iov_len = header->size },
	};
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };
	ssize_t n = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return error_set_errno(ret_error, errno, "cannot write to the front-end");
	if ((size_t)n != sizeof(*header) + header->size)
		return error_set(ret_error, EAGAIN, "the front-end does not read");
	return 0;
}
