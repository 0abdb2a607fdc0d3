/* SPDX-License-Identifier: Apache-2.0 */
/* ttrpc: the server against a peer that writes raw bytes. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/unit/test.h"
#include "tests/unit/ttrpc-peer.h"

/* ---- bytes ---- */

/* Written by hand from PROTOCOL.md and request.proto. */
static const uint8_t golden_request[] = {
	0,    0,  0,	29,  0,	  0,   0,    1,	  1,   0,			/* header */
	0x0a, 12, 't',	'e', 's', 't', '.',  'S', 'e', 'r', 'v', 'i', 'c', 'e', /* service */
	0x12, 4,  'E',	'c', 'h', 'o',						/* method */
	0x1a, 7,  0x0a, 2,   'i', 'd', 0x22, 1,	  't',				/* payload */
};
static const uint8_t golden_response[] = {
	0,    0, 0,    9, 0,   0,   0,	  1, 2,	  0, /* header */
	0x12, 7, 0x0a, 2, 'i', 'd', 0x2a, 1, 't',    /* payload */
};

static void check_golden_response(struct peer_test *f)
{
	uint8_t bytes[64];

	peer_step(f);
	CHECK_INT(recv(f->fd, bytes, sizeof(bytes), 0), sizeof(golden_response));
	CHECK(memcmp(bytes, golden_response, sizeof(golden_response)) == 0);
}

static void test_golden(void)
{
	struct peer_test f;

	peer_setup(&f);
	peer_put(&f, golden_request, sizeof(golden_request));
	check_golden_response(&f);
	peer_teardown(&f);
}

/* What a Go client (containerd/ttrpc 1.1.1) wrote, and the answer that it took. */
static void test_captured(void)
{
	static const uint8_t request[] =
	    "\0\0\0\x1d\0\0\0\1\1\0\x0a\x0ctest.Service\x12\4Echo\x1a\7\x0a\5hello";
	static const uint8_t response[] = "\0\0\0\x09\0\0\0\1\2\0\x12\7\x0a\5hello";
	static const uint8_t unknown[] =
	    "\0\0\0\x14\0\0\0\5\1\0\x0a\3x.Y\x12\4Nope\x1a\7\x0a\5hello";
	static const uint8_t refusal[] =
	    "\0\0\0\x11\0\0\0\5\2\0\x0a\x0f\x08\x0c\x12\x0bservice x.Y";
	struct peer_test f;
	uint8_t bytes[64];

	peer_setup(&f);
	peer_put(&f, request, sizeof(request) - 1);
	peer_step(&f);
	CHECK_INT(recv(f.fd, bytes, sizeof(bytes), 0), sizeof(response) - 1);
	CHECK(memcmp(bytes, response, sizeof(response) - 1) == 0);
	peer_put(&f, unknown, sizeof(unknown) - 1);
	peer_step(&f);
	CHECK_INT(recv(f.fd, bytes, sizeof(bytes), 0), sizeof(refusal) - 1);
	CHECK(memcmp(bytes, refusal, sizeof(refusal) - 1) == 0);
	peer_teardown(&f);
}

static void test_cut_requests(void)
{
	for (size_t cut = 1; cut < sizeof(golden_request); cut++) {
		struct peer_test f;

		peer_setup(&f);
		peer_put(&f, golden_request, cut);
		peer_check_silence(&f);
		peer_put(&f, golden_request + cut, sizeof(golden_request) - cut);
		check_golden_response(&f);
		peer_teardown(&f);
	}
}

/* A reader that takes odd amounts gets every byte of a long answer. */
static void test_cut_responses(void)
{
	struct peer_test f;
	struct buffer answer = { 0 };
	const size_t size = 1000000;
	Ttrpc__Response *response;
	int smallest = 1;

	peer_setup(&f);
	CHECK(setsockopt(f.fd, SOL_SOCKET, SO_RCVBUF, &smallest, sizeof(smallest)) == 0);
	peer_put_request(&f, 1, "Big", "1000000", "");
	for (size_t i = 0;; i++) {
		size_t want = 1 + i * 7919 % 5000;
		ssize_t n = recv(f.fd, buffer_reserve(&answer, want), want, 0);

		if (n < 0)
			break;
		CHECK(n > 0);
		buffer_commit(&answer, (size_t)n);
		loop_step(f.loop, 0);
	}
	CHECK(buffer_length(&answer) > FRAME_HEADER_SIZE + size);
	response = ttrpc__response__unpack(NULL, buffer_length(&answer) - FRAME_HEADER_SIZE,
					   buffer_data(&answer) + FRAME_HEADER_SIZE);
	CHECK(response);
	CHECK(response->payload.len > size);
	for (size_t i = 0; i < size; i++)
		CHECK(response->payload.data[response->payload.len - 1 - i] == 'x');
	ttrpc__response__free_unpacked(response, NULL);
	buffer_done(&answer);
	peer_check_works(&f, 3);
	peer_teardown(&f);
}

/* ---- refusals ---- */

static void test_refusals(void)
{
	struct peer_test f;
	_cleanup_free_ uint8_t *bytes = NULL;
	_cleanup_free_ uint8_t *negative = NULL;
	size_t size;

	peer_setup(&f);
	bytes = peer_pack("other.Service", "Echo", "", "", 0, &size);
	peer_put_frame(&f, 1, FRAME_REQUEST, 0, bytes, size);
	peer_check_status(&f, 1, TTRPC_UNIMPLEMENTED, "service other.Service");
	peer_put_request(&f, 3, "Other", "", "");
	peer_check_status(&f, 3, TTRPC_UNIMPLEMENTED, "method Other");
	peer_put_frame(&f, 5, FRAME_REQUEST, 0, "\x0a\x7f", 2);
	peer_check_status(&f, 5, TTRPC_INVALID_ARGUMENT, "not hold a ttrpc request");
	peer_put_frame(&f, 7, FRAME_REQUEST, 0,
		       "\x0a\x0ctest.Service\x12\x04"
		       "Echo\x1a\x02\x0a\x7f",
		       24);
	peer_check_status(&f, 7, TTRPC_INVALID_ARGUMENT, "not a task.ExecProcessRequest");
	peer_put_frame(&f, 9, FRAME_REQUEST, 0, NULL, 0);
	peer_check_status(&f, 9, TTRPC_UNIMPLEMENTED, "service ");
	negative = peer_pack(TEST_SERVICE, "Echo", "", "", -1, &size);
	peer_put_frame(&f, 11, FRAME_REQUEST, 0, negative, size);
	peer_check_status(&f, 11, TTRPC_DEADLINE_EXCEEDED, "deadline");
	peer_put_request(&f, 13, "Fail", "9", "it is caf\xc3\xa9");
	peer_check_status(&f, 13, TTRPC_FAILED_PRECONDITION, "it is caf\xc3\xa9?");
	peer_put_request(&f, 15, "Big", "5000000", "");
	peer_check_status(&f, 15, TTRPC_RESOURCE_EXHAUSTED, "response is 5000");
	peer_check_works(&f, 17);
	peer_teardown(&f);
}

static void test_stream_ids(void)
{
	struct peer_test f;

	peer_setup(&f);
	peer_put_request(&f, 2, "Echo", "", "");
	peer_check_status(&f, 2, TTRPC_INVALID_ARGUMENT, "even");
	peer_put_request(&f, 0, "Echo", "", "");
	peer_check_status(&f, 0, TTRPC_INVALID_ARGUMENT, "even");
	peer_check_works(&f, 7);
	peer_put_request(&f, 5, "Echo", "", "");
	peer_check_status(&f, 5, TTRPC_INVALID_ARGUMENT, "stream id 5");
	peer_put_request(&f, 7, "Echo", "", "");
	peer_check_status(&f, 7, TTRPC_INVALID_ARGUMENT, "stream id 7");
	peer_check_works(&f, 0xffffffff);
	peer_put_request(&f, 1, "Echo", "", "");
	peer_check_status(&f, 1, TTRPC_INVALID_ARGUMENT, "stream id 1");
	CHECK_INT(f.n_closed, 0);
	peer_teardown(&f);
}

static void test_duplicate_stream(void)
{
	struct peer_test f;

	peer_setup(&f);
	peer_put_request(&f, 1, "Hold", "", "");
	peer_put_request(&f, 1, "Echo", "", "");
	peer_check_end(&f);
	peer_teardown(&f);
}

static void test_streaming_frames(void)
{
	struct peer_test f;
	size_t size;
	_cleanup_free_ uint8_t *bytes = peer_pack(TEST_SERVICE, "Echo", "", "", 0, &size);

	peer_setup(&f);
	peer_put_frame(&f, 1, FRAME_REQUEST, FRAME_REMOTE_OPEN, bytes, size);
	peer_check_status(&f, 1, TTRPC_UNIMPLEMENTED, "does not stream");
	peer_put_frame(&f, 1, FRAME_DATA, 0, "x", 1);
	peer_check_status(&f, 1, TTRPC_UNIMPLEMENTED, "not open for data");
	peer_put_frame(&f, 1, FRAME_DATA, FRAME_REMOTE_CLOSED | FRAME_NO_DATA, NULL, 0);
	peer_check_status(&f, 1, TTRPC_UNIMPLEMENTED, "not open for data");
	peer_put_frame(&f, 3, FRAME_REQUEST, FRAME_REMOTE_CLOSED, bytes, size);
	peer_check_status(&f, 3, TTRPC_UNIMPLEMENTED, "does not stream");
	/* On a call that waits for its answer, nothing else may look like one. */
	peer_put_request(&f, 5, "Hold", "held", "");
	peer_put_frame(&f, 5, FRAME_DATA, 0, "x", 1);
	peer_put_frame(&f, 5, FRAME_RESPONSE, 0, "x", 1);
	peer_put_frame(&f, 5, 77, 0xff, "x", 1);
	peer_check_silence(&f);
	test_service_release(&f.service);
	peer_check_reply(&f, 5, "held", "");
	peer_check_works(&f, 7);
	peer_teardown(&f);
}

static void test_oversize(void)
{
	struct peer_test f;
	_cleanup_free_ uint8_t *bytes = xcalloc(1, TTRPC_MESSAGE_MAX + 1);

	peer_setup(&f);
	peer_put_frame(&f, 1, FRAME_REQUEST, 0, bytes, TTRPC_MESSAGE_MAX + 1);
	peer_check_status(&f, 1, TTRPC_RESOURCE_EXHAUSTED, "4194305");
	peer_put_frame(&f, 3, FRAME_REQUEST, 0, bytes, TTRPC_MESSAGE_MAX);
	peer_check_status(&f, 3, TTRPC_INVALID_ARGUMENT, "not hold a ttrpc request");
	peer_check_works(&f, 5);
	peer_put_request(&f, 7, "Hold", "", "");
	peer_put_frame(&f, 9, FRAME_REQUEST, 0, bytes, TTRPC_MESSAGE_MAX + 1);
	peer_check_status(&f, 9, TTRPC_RESOURCE_EXHAUSTED, "4194305");
	peer_teardown(&f);
}

/* ---- deadlines ---- */

static void test_deadline(void)
{
	struct peer_test f;
	size_t size;
	_cleanup_free_ uint8_t *hold = peer_pack(TEST_SERVICE, "Hold", "", "", 20000000, &size);
	_cleanup_free_ uint8_t *echo = NULL;
	uint64_t start = clock_monotonic_ns();

	peer_setup(&f);
	peer_put_frame(&f, 1, FRAME_REQUEST, 0, hold, size);
	peer_check_silence(&f);
	loop_step(f.loop, 1000);
	peer_check_status(&f, 1, TTRPC_DEADLINE_EXCEEDED, "deadline exceeded");
	CHECK(clock_monotonic_ns() - start >= 20000000);
	CHECK_INT(f.service.n_held, 1);
	test_service_release(&f.service);
	peer_check_silence(&f);
	/* One that is answered in time is not answered again. */
	echo = peer_pack(TEST_SERVICE, "Echo", "a", "b", 20000000, &size);
	peer_put_frame(&f, 3, FRAME_REQUEST, 0, echo, size);
	peer_check_reply(&f, 3, "a", "b");
	loop_step(f.loop, 40);
	peer_check_silence(&f);
	free(echo);
	echo = peer_pack(TEST_SERVICE, "Echo", "a", "b", INT64_MAX, &size);
	peer_put_frame(&f, 5, FRAME_REQUEST, 0, echo, size);
	peer_check_reply(&f, 5, "a", "b");
	peer_teardown(&f);
}

/* ---- ends ---- */

static void test_half_close(void)
{
	struct peer_test f;

	peer_setup(&f);
	peer_put_request(&f, 1, "Hold", "one", "");
	peer_put_request(&f, 3, "Hold", "two", "");
	CHECK(shutdown(f.fd, SHUT_WR) == 0);
	peer_check_silence(&f);
	test_service_release(&f.service);
	peer_check_reply(&f, 3, "two", "");
	peer_check_reply(&f, 1, "one", "");
	peer_check_end(&f);
	peer_teardown(&f);
}

/* Unless the server does not wait for answers. */
static void test_half_close_ends(void)
{
	struct peer_test f;

	peer_setup(&f);
	ttrpc_server_end_early(f.service.server);
	peer_put_request(&f, 1, "Hold", "one", "");
	peer_check_silence(&f);
	CHECK(shutdown(f.fd, SHUT_WR) == 0);
	peer_check_end(&f);
	test_service_release(&f.service);
	peer_teardown(&f);
}

/* The connection lasts until a long answer is read. */
static void test_half_close_long_answer(void)
{
	struct peer_test f;
	Ttrpc__Response *response;

	peer_setup(&f);
	peer_put_request(&f, 1, "Big", "2000000", "");
	CHECK(shutdown(f.fd, SHUT_WR) == 0);
	peer_step(&f);
	CHECK_INT(f.n_closed, 0);
	response = peer_get_response(&f, 1);
	CHECK(response->payload.len > 2000000);
	ttrpc__response__free_unpacked(response, NULL);
	peer_check_end(&f);
	peer_teardown(&f);
}

/* A request is served although its sender has gone, or closed within another. */
static void test_last_words(void)
{
	struct peer_test f;
	uint8_t bytes[2 * sizeof(golden_request)];

	peer_setup(&f);
	CHECK(send(f.fd, golden_request, sizeof(golden_request), 0) > 0);
	CHECK(shutdown(f.fd, SHUT_WR) == 0);
	check_golden_response(&f);
	peer_check_end(&f);
	peer_teardown(&f);

	peer_setup(&f);
	memcpy(bytes, golden_request, sizeof(golden_request));
	memcpy(bytes + sizeof(golden_request), golden_request, sizeof(golden_request));
	CHECK(send(f.fd, bytes, sizeof(bytes) - 1, 0) > 0);
	CHECK(shutdown(f.fd, SHUT_WR) == 0);
	check_golden_response(&f);
	peer_check_end(&f);
	peer_teardown(&f);

	peer_setup(&f);
	peer_put_request(&f, 1, "Hold", "", "");
	CHECK(send(f.fd, golden_request, sizeof(golden_request), 0) > 0);
	close_fdp(&f.fd);
	peer_step(&f);
	CHECK_INT(f.n_closed, 1);
	CHECK_INT(f.service.n_held, 1);
	f.fd = -1;
	peer_teardown(&f);
}

static void test_gone_with_open_calls(void)
{
	struct peer_test f;

	peer_setup(&f);
	for (uint32_t i = 0; i < 10; i++)
		peer_put_request(&f, 2 * i + 1, "Hold", "held", "text");
	close_fdp(&f.fd);
	peer_step(&f);
	CHECK_INT(f.n_closed, 1);
	f.fd = peer_connect(&f);
	peer_put_request(&f, 1, "Release", "", "");
	peer_check_reply(&f, 1, "", "");
	peer_check_silence(&f);
	peer_teardown(&f);
}

static void test_free_in_handler(void)
{
	struct peer_test f;
	bool end;

	peer_setup(&f);
	peer_put_request(&f, 1, "Hold", "held", "text");
	peer_put_request(&f, 3, "Free", "", "");
	peer_step(&f);
	CHECK(!peer_get_frame(&f, &end) && end);
	CHECK_INT(f.n_closed, 0);
	CHECK(!f.service.server);
	test_service_release(&f.service);
	peer_teardown(&f);
}

/* ---- descriptors ---- */

static void check_fds_reply(struct peer_test *f, uint32_t stream, const char *wanted)
{
	Ttrpc__Response *response = peer_get_response(f, stream);
	Task__StateResponse *state;

	CHECK(!response->status);
	state = task__state_response__unpack(NULL, response->payload.len, response->payload.data);
	CHECK(state);
	CHECK_STRING(state->stdout, wanted);
	task__state_response__free_unpacked(state, NULL);
	ttrpc__response__free_unpacked(response, NULL);
}

static void test_descriptors(void)
{
	struct peer_test f;
	size_t n_fds;

	peer_setup(&f);
	n_fds = test_count_fds();
	/* Sent in one go: each request has its own. */
	peer_put_with_fds(&f, 1, "Fds", "0", 0);
	peer_put_with_fds(&f, 3, "Fds", "012", 3);
	peer_put_with_fds(&f, 5, "Fds", "0", 0);
	peer_put_with_fds(&f, 7, "Fds", "1", 8);
	peer_put_with_fds(&f, 9, "Fds", "009", 1);
	check_fds_reply(&f, 1, "-");
	check_fds_reply(&f, 3, "abc");
	check_fds_reply(&f, 5, "-");
	check_fds_reply(&f, 7, "b");
	check_fds_reply(&f, 9, "a--");
	CHECK_INT(test_count_fds(), n_fds);
	/* Refused calls, and frames that are no calls. */
	peer_put_with_fds(&f, 11, "Other", "", 3);
	peer_check_status(&f, 11, TTRPC_UNIMPLEMENTED, "method");
	peer_put_with_fds(&f, 11, "Echo", "", 3);
	peer_check_status(&f, 11, TTRPC_INVALID_ARGUMENT, "stream id");
	CHECK_INT(test_count_fds(), n_fds);
	/* Those of a frame that is never whole. */
	close_fdp(&f.fd);
	peer_step(&f);
	f.fd = peer_connect(&f);
	CHECK_INT(send_with_fds(f.fd, "\0", 1, &f.fd, 1), 1);
	CHECK_INT(send_with_fds(f.fd, "\0", 1, &(int){ 0 }, 1), 1);
	peer_step(&f);
	CHECK_INT(test_count_fds(), n_fds + 2);
	CHECK(shutdown(f.fd, SHUT_WR) == 0);
	peer_step(&f);
	CHECK_INT(test_count_fds(), n_fds - 1);
	close_fdp(&f.fd);
	f.fd = peer_connect(&f);
	/* They end with the call, not with the connection. */
	peer_put_with_fds(&f, 13, "Hold", "", 8);
	peer_step(&f);
	CHECK_INT(test_count_fds(), n_fds + 8);
	close_fdp(&f.fd);
	peer_step(&f);
	CHECK_INT(test_count_fds(), n_fds + 8 - 2);
	test_service_release(&f.service);
	CHECK_INT(test_count_fds(), n_fds - 2);
	f.fd = -1;
	peer_teardown(&f);
}

static const struct test_case cases[] = {
	{ "golden", test_golden },
	{ "captured", test_captured },
	{ "cut requests", test_cut_requests },
	{ "cut responses", test_cut_responses },
	{ "refusals", test_refusals },
	{ "stream ids", test_stream_ids },
	{ "duplicate stream", test_duplicate_stream },
	{ "streaming frames", test_streaming_frames },
	{ "oversize", test_oversize },
	{ "deadline", test_deadline },
	{ "half close", test_half_close },
	{ "half close ends", test_half_close_ends },
	{ "half close, long answer", test_half_close_long_answer },
	{ "last words", test_last_words },
	{ "gone with open calls", test_gone_with_open_calls },
	{ "free in handler", test_free_in_handler },
	{ "descriptors", test_descriptors },
};

TEST_MAIN(cases)
