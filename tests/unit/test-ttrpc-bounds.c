/* SPDX-License-Identifier: Apache-2.0 */
/* ttrpc: what a peer can make the server hold is bounded. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/unit/test.h"
#include "tests/unit/ttrpc-peer.h"

static void test_too_many_calls(void)
{
	struct peer_test f;
	uint32_t stream = 1;

	peer_setup(&f);
	for (int i = 0; i < 1024; i++, stream += 2)
		peer_put_request(&f, stream, "Hold", "", "");
	peer_check_silence(&f);
	peer_put_request(&f, stream, "Hold", "", "");
	peer_check_status(&f, stream, TTRPC_RESOURCE_EXHAUSTED, "too many");
	test_service_release(&f.service);
	for (uint32_t held = stream - 2; held < stream; held -= 2)
		peer_check_reply(&f, held, "", "");
	peer_check_works(&f, stream + 2);
	peer_teardown(&f);
}

static void test_too_much_memory(void)
{
	struct peer_test f;
	const size_t size = 1 << 20;
	_cleanup_free_ char *text = xmalloc(size + 1);
	uint32_t stream = 1;

	peer_setup(&f);
	memset(text, 'x', size);
	text[size] = '\0';
	for (int i = 0; i < 63; i++, stream += 2)
		peer_put_request(&f, stream, "Hold", "", text);
	peer_check_silence(&f);
	peer_put_request(&f, stream, "Hold", "", text);
	peer_check_status(&f, stream, TTRPC_RESOURCE_EXHAUSTED, "too many");
	/* Calls whose connection has gone still take their part. */
	close_fdp(&f.fd);
	peer_step(&f);
	CHECK_INT(f.n_closed, 1);
	f.fd = peer_connect(&f);
	peer_put_request(&f, 1, "Hold", "", text);
	peer_check_status(&f, 1, TTRPC_RESOURCE_EXHAUSTED, "too many");
	test_service_release(&f.service);
	peer_put_request(&f, 3, "Hold", "", text);
	peer_check_silence(&f);
	peer_teardown(&f);
}

/* A client that asks and asks and reads nothing is not read any more. */
static void test_slow_reader(void)
{
	struct peer_test f;
	size_t size;
	_cleanup_free_ uint8_t *bytes = peer_pack(TEST_SERVICE, "Big", "10000", "", 0, &size);
	_cleanup_free_ uint8_t *frame = xmalloc(FRAME_HEADER_SIZE + size);
	struct frame_header header = { .length = (uint32_t)size, .type = FRAME_REQUEST };
	uint32_t sent = 0;
	int stuck = 0;

	peer_setup(&f);
	memcpy(frame + FRAME_HEADER_SIZE, bytes, size);
	while (stuck < 100) {
		header.stream = 2 * sent + 1;
		frame_header_encode(&header, frame);
		/* A socket takes a packet as whole or not at all, as far as this one. */
		if (send(f.fd, frame, FRAME_HEADER_SIZE + size, MSG_NOSIGNAL) < 0) {
			CHECK_INT(errno, EAGAIN);
			stuck++;
		} else {
			stuck = 0;
			sent++;
		}
		loop_step(f.loop, 0);
		CHECK(sent < 100000);
	}
	CHECK(sent > 100);
	for (uint32_t i = 0; i < sent; i++) {
		Ttrpc__Response *response = peer_get_response(&f, 2 * i + 1);

		CHECK(response->payload.len > 10000);
		ttrpc__response__free_unpacked(response, NULL);
	}
	peer_check_works(&f, 2 * sent + 1);
	peer_teardown(&f);
}

/* Answers to calls already open cannot be held back that way: they are counted. */
static void test_answers_pile_up(void)
{
	struct peer_test f;
	const size_t size = 1 << 20;
	_cleanup_free_ char *text = xmalloc(size + 1);

	peer_setup(&f);
	memset(text, 'x', size);
	text[size] = '\0';
	for (uint32_t i = 0; i < 30; i++)
		peer_put_request(&f, 2 * i + 1, "Hold", "", text);
	test_service_release(&f.service);
	/* Not from within the answer, but from the loop. */
	CHECK_INT(f.n_closed, 0);
	peer_step(&f);
	CHECK_INT(f.n_closed, 1);
	peer_teardown(&f);
}

/* Beside the bytes of one frame, in several messages: bounded all the same. */
static void test_descriptors_bound(void)
{
	struct peer_test f;
	size_t n_fds, size;
	_cleanup_free_ uint8_t *bytes = peer_pack(TEST_SERVICE, "Hold", "", "0123456789", 0, &size);
	int fds[FD_PASS_MAX] = { 0, 0, 0, 0, 0, 0, 0, 0 };
	uint32_t stream = 1;

	peer_setup(&f);
	n_fds = test_count_fds();
	peer_put(&f, "\0\0\0\x22\0\0\0\1\1\0", 10);
	CHECK_INT(size, 0x22);
	for (size_t i = 0; i < size; i++)
		CHECK(send_with_fds(f.fd, bytes + i, 1, fds, FD_PASS_MAX) == 1);
	peer_step(&f);
	CHECK_INT(f.service.n_held, 1);
	CHECK_INT(test_count_fds(), n_fds + FD_PASS_MAX);
	for (int i = 1; i < 16; i++)
		peer_put_with_fds(&f, stream += 2, "Hold", "", FD_PASS_MAX);
	peer_check_silence(&f);
	CHECK_INT(test_count_fds(), n_fds + (size_t)16 * FD_PASS_MAX);
	peer_put_with_fds(&f, stream += 2, "Hold", "", 1);
	peer_check_status(&f, stream, TTRPC_RESOURCE_EXHAUSTED, "too many");
	peer_put_with_fds(&f, stream += 2, "Echo", "x", 0);
	peer_check_reply(&f, stream, "", "x");
	test_service_release(&f.service);
	CHECK_INT(test_count_fds(), n_fds);
	for (int i = 0; i < 16; i++)
		peer_put_with_fds(&f, stream += 2, "Hold", "", FD_PASS_MAX);
	peer_step(&f);
	CHECK_INT(f.service.n_held, 16);
	peer_teardown(&f);
}

/* ---- listening ---- */

struct clients {
	char *path;
	int fds[300];
};

static void setup_listener(struct peer_test *f, struct clients *clients)
{
	struct error *error = NULL;
	int fd;

	peer_setup(f);
	clients->path = xasprintf("/tmp/test-ttrpc.%d", (int)getpid());
	fd = unix_listen(clients->path, 0600, &error);
	CHECK_OK(fd, &error);
	CHECK_OK(ttrpc_server_listen(f->service.server, fd, &error), &error);
	close_fdp(&f->fd);
	peer_step(f);
}

static void connect_client(struct peer_test *f, const struct clients *clients)
{
	struct error *error = NULL;

	f->fd = unix_connect(clients->path, &error);
	CHECK_OK(f->fd, &error);
	CHECK(set_nonblocking(f->fd, true) == 0);
}

static void test_listen(void)
{
	struct peer_test f;
	struct clients clients;
	const int limit = 256;

	setup_listener(&f, &clients);
	for (int i = 0; i < limit; i++) {
		connect_client(&f, &clients);
		peer_check_works(&f, 1);
		clients.fds[i] = f.fd;
	}
	/* One more waits until another goes. */
	connect_client(&f, &clients);
	peer_put_request(&f, 1, "Echo", "late", "");
	peer_check_silence(&f);
	for (int i = 1; i < limit; i++)
		(void)close(clients.fds[i]);
	for (int i = 0; i < limit; i++)
		peer_step(&f);
	peer_check_reply(&f, 1, "late", "");
	(void)close(clients.fds[0]);
	(void)unlink(clients.path);
	free(clients.path);
	peer_teardown(&f);
}

/* Out of descriptors: no spinning meanwhile, and service afterwards. */
static void test_accept_fails(void)
{
	struct peer_test f;
	struct clients clients;
	struct rlimit limit;
	int highest, steps = 0;
	uint64_t start;

	setup_listener(&f, &clients);
	connect_client(&f, &clients);
	peer_put_request(&f, 1, "Echo", "late", "");
	frame_decoder_done(&f.decoder);
	(void)close(f.fd);
	peer_step(&f);
	connect_client(&f, &clients);
	highest = dup(0);
	(void)close(highest);
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = (rlim_t)highest;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	start = clock_monotonic_ns();
	while (clock_monotonic_ns() - start < 50000000) {
		loop_step(f.loop, 10);
		steps++;
	}
	CHECK(steps < 20);
	limit.rlim_cur = limit.rlim_max;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	loop_step(f.loop, 1000);
	peer_check_works(&f, 1);
	(void)unlink(clients.path);
	free(clients.path);
	peer_teardown(&f);
}

static const struct test_case cases[] = {
	{ "too many calls", test_too_many_calls },
	{ "too much memory", test_too_much_memory },
	{ "slow reader", test_slow_reader },
	{ "answers pile up", test_answers_pile_up },
	{ "descriptors bound", test_descriptors_bound },
	{ "listen", test_listen },
	{ "accept fails", test_accept_fails },
};

TEST_MAIN(cases)
