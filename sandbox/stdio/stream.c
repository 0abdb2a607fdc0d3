/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a vsock stream: see stream.h. */
#include "sandbox/stdio/stream.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"

#define STREAM_TIMEOUT_MS 60000

struct stream {
	int fd;
	stream_fn function;
	void *data;
	char answer[24]; /* "OK 4294967295\n" at most */
	size_t length;
	struct source *source, *timer;
};

void stream_free(struct stream *stream)
{
	if (!stream)
		return;
	source_remove(stream->source);
	source_remove(stream->timer);
	close_fdp(&stream->fd);
	free(stream);
}

/* Ends the opening; the function may do what it likes, the stream is gone. */
static void finish(struct stream *stream, uint32_t port, const struct error *error)
{
	stream_fn function = stream->function;
	void *data = stream->data;
	int fd = error ? -1 : TAKE_FD(stream->fd);

	stream_free(stream);
	function(data, fd, port, error);
}

static void fail(struct stream *stream, int code, const char *what)
{
	_cleanup_error_ struct error *error = NULL;

	(void)error_set(&error, code, "cannot open a stream to the guest: %s", what);
	finish(stream, 0, error);
}

static void timed_out(void *data)
{
	struct stream *stream = data;

	stream->timer = NULL;
	fail(stream, ETIMEDOUT, "no answer");
}

static void answered(struct stream *stream)
{
	unsigned long port;
	char *end;

	stream->answer[stream->length - 1] = '\0';
	if (strncmp(stream->answer, "OK ", 3) != 0 || !isdigit((unsigned char)stream->answer[3])) {
		fail(stream, ECONNREFUSED, "the VMM refused it");
		return;
	}
	port = strtoul(stream->answer + 3, &end, 10);
	if (*end || port == 0 || port > UINT32_MAX) {
		fail(stream, EPROTO, "the VMM gave no valid port");
		return;
	}
	finish(stream, (uint32_t)port, NULL);
}

/* Reads byte by byte: what follows the line belongs to the stream. */
static void readable(void *data, uint32_t events)
{
	struct stream *stream = data;

	(void)events;
	for (;;) {
		ssize_t n = read(stream->fd, stream->answer + stream->length, 1);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			fail(stream, ECONNREFUSED, "the guest does not listen");
			return;
		}
		if (stream->answer[stream->length++] == '\n') {
			answered(stream);
			return;
		}
		if (stream->length == sizeof(stream->answer)) {
			fail(stream, EPROTO, "the VMM's answer is too long");
			return;
		}
	}
}

static int ask(struct loop *loop, struct vmm *vmm, const char *request, stream_fn function,
	       void *data, struct stream **ret_stream, struct error **ret_error)
{
	_cleanup_close_ int fd = vmm_connect(vmm, ret_error);
	struct source *source;
	struct stream *stream;

	if (fd < 0)
		return -1;
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request))
		return error_set_errno(ret_error, errno, "cannot ask the VMM for a stream");
	stream = xcalloc(1, sizeof(*stream));
	if (loop_add_io(loop, fd, EPOLLIN, "stream opening", readable, stream, &source, ret_error) <
	    0) {
		free(stream);
		return -1;
	}
	stream->fd = TAKE_FD(fd);
	stream->source = source;
	stream->function = function;
	stream->data = data;
	stream->timer =
	    loop_add_timer(loop, STREAM_TIMEOUT_MS, "stream opening", timed_out, stream);
	*ret_stream = stream;
	return 0;
}

int stream_new(struct loop *loop, struct vmm *vmm, uint32_t port, stream_fn function, void *data,
	       struct stream **ret_stream, struct error **ret_error)
{
	_cleanup_free_ char *request = xasprintf("CONNECT %u\n", port);

	return ask(loop, vmm, request, function, data, ret_stream, ret_error);
}

int stream_take_up(struct loop *loop, struct vmm *vmm, uint32_t host_port, uint32_t port,
		   stream_fn function, void *data, struct stream **ret_stream,
		   struct error **ret_error)
{
	_cleanup_free_ char *request = xasprintf("RESUME %u %u\n", host_port, port);

	return ask(loop, vmm, request, function, data, ret_stream, ret_error);
}
