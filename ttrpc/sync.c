/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The synchronous client: see ttrpc.h.  One thread, one socket, one call at a
 * time; it waits in poll() with what is left of the time, and never in send()
 * or recv(), whatever mode the socket is in.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/log.h"
#include "ttrpc/frame.h"
#include "ttrpc/message.h"
#include "ttrpc/ttrpc.h"

#define POLL_MS_MAX UINT64_C(60000)

struct exchange {
	int fd, cancel_fd;
	uint64_t deadline_ns; /* UINT64_MAX: none */
};

/* Stream ids must increase on a connection, and a connection is only an fd here:
 * so they increase over the whole process. */
static uint32_t new_stream(void)
{
	static atomic_uint_least32_t next = 1;

	return atomic_fetch_add(&next, 2);
}

static uint64_t deadline_after(uint64_t timeout_ms)
{
	uint64_t delay_ns, deadline_ns;

	if (timeout_ms == 0 || checked_mul(timeout_ms, UINT64_C(1000000), &delay_ns) ||
	    checked_add(delay_ns, clock_monotonic_ns(), &deadline_ns))
		return UINT64_MAX;
	return deadline_ns;
}

static int lost(int code, struct error **ret_error)
{
	if (code == EPIPE)
		code = ECONNRESET;
	return error_set_errno(ret_error, code, "the connection is lost");
}

static int wait_for(const struct exchange *exchange, short events, struct error **ret_error)
{
	struct pollfd fds[] = { { .fd = exchange->fd, .events = events },
				{ .fd = exchange->cancel_fd, .events = POLLIN } };

	for (;;) {
		uint64_t now = clock_monotonic_ns();
		int n;

		if (now >= exchange->deadline_ns)
			return error_set(ret_error, ETIMEDOUT, "no answer in time");
		n = poll(fds, ARRAY_SIZE(fds),
			 (int)MIN((exchange->deadline_ns - now) / 1000000 + 1, POLL_MS_MAX));
		/* An answer that is there counts; a request that is not sent is not made. */
		if (n > 0 && fds[0].revents && (events == POLLIN || !fds[1].revents))
			return 0;
		if (n > 0)
			return error_set(ret_error, ECANCELED, "interrupted");
		if (n < 0 && errno != EINTR)
			return lost(errno, ret_error);
	}
}

/* As send(), with the descriptors beside the first bytes.  These are few, so that
 * a socket that poll() has found writable takes them without blocking. */
static ssize_t send_some(int fd, const uint8_t *bytes, size_t size, const int *fds, size_t n_fds)
{
	if (n_fds > 0)
		return send_with_fds(fd, bytes, MIN(size, (size_t)FRAME_HEADER_SIZE), fds, n_fds);
	return send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int send_bytes(const struct exchange *exchange, const uint8_t *bytes, size_t size,
		      const int *fds, size_t n_fds, struct error **ret_error)
{
	while (size > 0) {
		ssize_t n;

		if (wait_for(exchange, POLLOUT, ret_error) < 0)
			return -1;
		n = send_some(exchange->fd, bytes, size, fds, n_fds);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return lost(errno, ret_error);
		bytes += n;
		size -= (size_t)n;
		n_fds = 0;
	}
	return 0;
}

static int receive_frame(const struct exchange *exchange, struct frame_decoder *decoder,
			 struct error **ret_error)
{
	for (;;) {
		uint8_t *where;
		size_t size = frame_decoder_want(decoder, &where);
		ssize_t n;

		if (wait_for(exchange, POLLIN, ret_error) < 0)
			return -1;
		n = recv(exchange->fd, where, size, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return lost(n < 0 ? errno : ECONNRESET, ret_error);
		if (frame_decoder_advance(decoder, (size_t)n))
			return 0;
	}
}

static int receive_response(const struct exchange *exchange, uint32_t stream,
			    struct frame_decoder *decoder,
			    const ProtobufCMessageDescriptor *descriptor,
			    ProtobufCMessage **ret_response, struct error **ret_error)
{
	if (receive_frame(exchange, decoder, ret_error) < 0)
		return -1;
	/* An older stream's: an answer that came after its call had timed out. */
	while (decoder->header.stream != stream) {
		frame_decoder_next(decoder);
		if (receive_frame(exchange, decoder, ret_error) < 0)
			return -1;
	}
	if (decoder->header.type != FRAME_RESPONSE || frame_decoder_oversize(decoder))
		return error_set(ret_error, EPROTO,
				 "the answer is an unexpected frame of type %u and %" PRIu32
				 " bytes",
				 decoder->header.type, decoder->header.length);
	return message_unpack_response(buffer_data(&decoder->payload),
				       buffer_length(&decoder->payload), descriptor, ret_response,
				       ret_error);
}

int ttrpc_call_sync(int fd, int cancel_fd, const struct ttrpc_request *request,
		    ProtobufCMessage **ret_response, struct error **ret_error)
{
	struct exchange exchange = { .fd = fd,
				     .cancel_fd = cancel_fd,
				     .deadline_ns = deadline_after(request->timeout_ms) };
	_cleanup_(frame_decoder_done) struct frame_decoder decoder = { 0 };
	struct frame_header header = { .stream = new_stream(), .type = FRAME_REQUEST };
	_cleanup_(buffer_done) struct buffer frame = { 0 };
	_cleanup_free_ uint8_t *bytes = NULL;
	_cleanup_error_ struct error *error = NULL;
	size_t size;
	int result;

	if (message_pack_request(request, NULL, &bytes, &size, ret_error) < 0)
		return -1;
	header.length = (uint32_t)size;
	frame_header_encode(&header, buffer_reserve(&frame, FRAME_HEADER_SIZE + size));
	buffer_commit(&frame, FRAME_HEADER_SIZE);
	buffer_append(&frame, bytes, size);
	result = send_bytes(&exchange, buffer_data(&frame), buffer_length(&frame), request->fds,
			    request->n_fds, &error);
	if (result == 0)
		result = receive_response(&exchange, header.stream, &decoder, request->response,
					  ret_response, &error);
	log_debug("%s.%s: %s", request->service, request->method, error ? error->message : "done");
	return result == 0 ? 0 : error_set(ret_error, error->code, "%s", error->message);
}
