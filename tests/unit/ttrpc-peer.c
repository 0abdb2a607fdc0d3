/* SPDX-License-Identifier: Apache-2.0 */
/* The peer that writes raw bytes: see ttrpc-peer.h. */
#include "tests/unit/ttrpc-peer.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/io.h"
#include "tests/unit/test.h"
#include "ttrpc/message.h"

static void on_close(void *data)
{
	struct peer_test *f = data;

	f->n_closed++;
}

int peer_connect(struct peer_test *f)
{
	struct error *error = NULL;
	int fds[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
	CHECK_OK(ttrpc_server_serve(f->service.server, fds[0], on_close, f, &error), &error);
	return fds[1];
}

void peer_setup(struct peer_test *f)
{
	struct error *error = NULL;

	memset(f, 0, sizeof(*f));
	CHECK_OK(loop_new(&f->loop, &error), &error);
	test_service_start(&f->service, f->loop);
	f->fd = peer_connect(f);
}

void peer_teardown(struct peer_test *f)
{
	close_fdp(&f->fd);
	ttrpc_server_free(f->service.server);
	test_service_release(&f->service);
	frame_decoder_done(&f->decoder);
	loop_free(f->loop);
}

void peer_step(struct peer_test *f)
{
	for (int i = 0; i < 8; i++)
		loop_step(f->loop, 0);
}

/* Writes all of it, running the server where the socket is full. */
void peer_put(struct peer_test *f, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	while (size > 0) {
		ssize_t n = send(f->fd, at, size, MSG_NOSIGNAL);

		if (n > 0) {
			at += n;
			size -= (size_t)n;
		}
		CHECK(n > 0 || errno == EAGAIN);
		peer_step(f);
	}
}

void peer_put_frame(struct peer_test *f, uint32_t stream, uint8_t type, uint8_t flags,
		    const void *payload, size_t size)
{
	struct frame_header header = {
		.length = (uint32_t)size, .stream = stream, .type = type, .flags = flags
	};
	uint8_t bytes[FRAME_HEADER_SIZE];

	frame_header_encode(&header, bytes);
	peer_put(f, bytes, sizeof(bytes));
	peer_put(f, payload, size);
}

uint8_t *peer_pack(const char *service, const char *method, const char *id, const char *text,
		   int64_t timeout_nano, size_t *ret_size)
{
	Task__ExecProcessRequest request = TASK__EXEC_PROCESS_REQUEST__INIT;
	Ttrpc__Request envelope = TTRPC__REQUEST__INIT;
	_cleanup_free_ uint8_t *payload = NULL;

	request.id = (char *)id;
	request.stdin = (char *)text;
	payload = message_pack(&request.base, &envelope.payload.len);
	envelope.payload.data = payload;
	envelope.service = (char *)service;
	envelope.method = (char *)method;
	envelope.timeout_nano = timeout_nano;
	return message_pack(&envelope.base, ret_size);
}

void peer_put_request(struct peer_test *f, uint32_t stream, const char *method, const char *id,
		      const char *text)
{
	size_t size;
	_cleanup_free_ uint8_t *bytes = peer_pack(TEST_SERVICE, method, id, text, 0, &size);

	peer_put_frame(f, stream, FRAME_REQUEST, 0, bytes, size);
}

/* What comes first: a whole frame (true), or nothing more for now (false). At
 * the end of the stream too, when *ret_end is true. */
bool peer_get_frame(struct peer_test *f, bool *ret_end)
{
	*ret_end = false;
	for (;;) {
		uint8_t *where;
		size_t size = frame_decoder_want(&f->decoder, &where);
		ssize_t n = recv(f->fd, where, size, MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return false;
		if (n <= 0) {
			*ret_end = true;
			return false;
		}
		if (frame_decoder_advance(&f->decoder, (size_t)n))
			return true;
		peer_step(f);
	}
}

/* The next frame is a response on the stream; caller frees. */
Ttrpc__Response *peer_get_response(struct peer_test *f, uint32_t stream)
{
	Ttrpc__Response *response;
	bool end;

	peer_step(f);
	if (!peer_get_frame(f, &end))
		test_fail(__FILE__, __LINE__, "no answer on stream %u%s", stream,
			  end ? ": the connection has ended" : "");
	CHECK_INT(f->decoder.header.type, FRAME_RESPONSE);
	CHECK_INT(f->decoder.header.flags, 0);
	CHECK_INT(f->decoder.header.stream, stream);
	response = ttrpc__response__unpack(NULL, buffer_length(&f->decoder.payload),
					   buffer_data(&f->decoder.payload));
	CHECK(response);
	frame_decoder_next(&f->decoder);
	return response;
}

void peer_check_status(struct peer_test *f, uint32_t stream, int code, const char *part)
{
	Ttrpc__Response *response = peer_get_response(f, stream);

	CHECK(response->status);
	CHECK_INT(response->status->code, code);
	if (!strstr(response->status->message, part))
		test_fail(__FILE__, __LINE__, "the status is \"%s\", not \"%s\"",
			  response->status->message, part);
	ttrpc__response__free_unpacked(response, NULL);
}

void peer_check_reply(struct peer_test *f, uint32_t stream, const char *id, const char *text)
{
	Ttrpc__Response *response = peer_get_response(f, stream);
	Task__StateResponse *state;

	CHECK(!response->status);
	state = task__state_response__unpack(NULL, response->payload.len, response->payload.data);
	CHECK(state);
	CHECK_STRING(state->id, id);
	CHECK_STRING(state->stdin, text);
	task__state_response__free_unpacked(state, NULL);
	ttrpc__response__free_unpacked(response, NULL);
}

void peer_check_silence(struct peer_test *f)
{
	bool end;

	peer_step(f);
	CHECK(!peer_get_frame(f, &end) && !end);
}

void peer_check_end(struct peer_test *f)
{
	bool end;

	peer_step(f);
	CHECK(!peer_get_frame(f, &end) && end);
	CHECK_INT(f->n_closed, 1);
}

/* The connection still works: a call on the stream is answered. */
void peer_check_works(struct peer_test *f, uint32_t stream)
{
	peer_put_request(f, stream, "Echo", "still", "here");
	peer_check_reply(f, stream, "still", "here");
}

/* A request frame with the read ends of n pipes; 'a' + i is in the i-th. */
void peer_put_with_fds(struct peer_test *f, uint32_t stream, const char *method, const char *which,
		       size_t n)
{
	size_t size;
	_cleanup_free_ uint8_t *bytes = peer_pack(TEST_SERVICE, method, "", which, 0, &size);
	struct frame_header header = { .length = (uint32_t)size,
				       .stream = stream,
				       .type = FRAME_REQUEST };
	struct buffer frame = { 0 };
	int fds[FD_PASS_MAX];

	for (size_t i = 0; i < n; i++) {
		char byte = (char)('a' + i);
		int ends[2];

		CHECK(pipe(ends) == 0);
		CHECK(write(ends[1], &byte, 1) == 1);
		(void)close(ends[1]);
		fds[i] = ends[0];
	}
	frame_header_encode(&header, buffer_reserve(&frame, FRAME_HEADER_SIZE));
	buffer_commit(&frame, FRAME_HEADER_SIZE);
	buffer_append(&frame, bytes, size);
	CHECK(send_with_fds(f->fd, buffer_data(&frame), buffer_length(&frame), fds, n) ==
	      (ssize_t)buffer_length(&frame));
	buffer_done(&frame);
	for (size_t i = 0; i < n; i++)
		(void)close(fds[i]);
}
