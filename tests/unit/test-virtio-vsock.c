/* SPDX-License-Identifier: Apache-2.0 */
/* The socket device: connections, their ends, and resets. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "tests/unit/test.h"
#include "tests/unit/vsock-guest.h"
#include "virtio/devices.h"
#include "virtio/vsock.h"

#define BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)
#define SMALL_RX 4096

static struct guest g;

static void test_config(void)
{
	uint64_t cid;

	guest_init(&g, 4, SMALL_RX);
	driver_config_read(&g.d, 0, &cid, sizeof(cid));
	CHECK_INT(cid, GUEST_CID);
	CHECK_INT(g.d.device->n_queues, 3);
	guest_done(&g);
}

static void test_guest_connects(void)
{
	int fd;

	guest_init(&g, 4, SMALL_RX);
	fd = guest_connect(&g, 1024, 5000);
	guest_send_text(&g, 1024, 5000, "hello, host");
	host_expect(&g, fd, "hello, host", 11);
	CHECK(write(fd, "hello, guest", 12) == 12);
	guest_expect_text(&g, "hello, guest");
	guest_expect_nothing(&g);
	(void)close(fd);
	guest_done(&g);
}

static void test_host_connects(void)
{
	uint32_t host_port, other;
	int fd, second;

	guest_init(&g, 4, SMALL_RX);
	fd = guest_accept(&g, 80, &host_port);
	second = guest_accept(&g, 80, &other);
	CHECK(other != host_port);
	CHECK(write(fd, "one", 3) == 3);
	guest_expect_text(&g, "one");
	guest_send_text(&g, other, 80, "two");
	host_expect(&g, second, "two", 3);
	(void)close(fd);
	(void)close(second);
	guest_done(&g);
}

/* Bytes right behind the greeting's line belong to the stream. */
static void test_greeting_and_data(void)
{
	struct virtio_vsock_hdr header;
	int fd;

	guest_init(&g, 4, SMALL_RX);
	fd = host_connect(&g, "CONNECT 80\nGET /\n");
	header = guest_expect(&g, VIRTIO_VSOCK_OP_REQUEST);
	guest_expect_nothing(&g);
	guest_send_op(&g, VIRTIO_VSOCK_OP_RESPONSE, header.src_port, 80, 0);
	guest_expect_text(&g, "GET /\n");
	(void)close(fd);
	guest_done(&g);
}

static void test_bad_greetings(void)
{
	static const char *const bad[] = {
		"\n",
		"CONNECT\n",
		"CONNECT \n",
		"CONNECT 80 \n",
		"CONNECT +80\n",
		"CONNECT -1\n",
		"CONNECT 4294967295\n",
		"CONNECT 4294967296\n",
		"CONNECT 99999999999\n",
		"CONNECT 0x50\n",
		"connect 80\n",
		"GET / HTTP/1.0\r\n\r\n",
		"CONNECT 00000000000000000000080\n",
		"RESUME 80\n",
		"RESUME 1 4294967295\n",
		"RESUME 1 80 2\n",
		"RESUME 4294967294 4294967294\n",
		"CONNECT 80 and no end of line in sight",
	};
	int fd;

	guest_init(&g, 4, SMALL_RX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fd = host_connect(&g, bad[i]);
		host_expect(&g, fd, NULL, 0);
		(void)close(fd);
	}
	/* In pieces it is fine. */
	fd = host_connect(&g, "CONN");
	guest_expect_nothing(&g);
	CHECK(write(fd, "ECT 429496729", 13) == 13);
	guest_expect_nothing(&g);
	CHECK(write(fd, "4\n", 2) == 2);
	CHECK_INT(guest_expect(&g, VIRTIO_VSOCK_OP_REQUEST).dst_port, 4294967294U);
	(void)close(fd);
	guest_done(&g);
}

static void test_silent_client(void)
{
	uint64_t start = clock_monotonic_ns();
	uint32_t host_port;
	int silent, busy;

	guest_init(&g, 4, SMALL_RX);
	silent = host_connect(&g, "CONNECT");
	busy = guest_accept(&g, 80, &host_port);
	host_expect(&g, silent, NULL, 0);
	CHECK(clock_monotonic_ns() - start > 4000000000ULL);
	guest_send_text(&g, host_port, 80, "still here");
	host_expect(&g, busy, "still here", 10);
	(void)close(silent);
	(void)close(busy);
	guest_done(&g);
}

static void test_nobody_listens(void)
{
	struct virtio_vsock_hdr header;
	int fd;

	guest_init(&g, 4, SMALL_RX);
	guest_send_op(&g, VIRTIO_VSOCK_OP_REQUEST, 4711, 5000, 0);
	guest_expect_rst(&g, 4711, 5000);
	fd = host_connect(&g, "CONNECT 80\n");
	header = guest_expect(&g, VIRTIO_VSOCK_OP_REQUEST);
	guest_send_op(&g, VIRTIO_VSOCK_OP_RST, header.src_port, 80, 0);
	host_expect(&g, fd, NULL, 0);
	guest_expect_nothing(&g);
	(void)close(fd);
	/* A client that leaves before the guest has answered. */
	fd = host_connect(&g, "CONNECT 80\n");
	header = guest_expect(&g, VIRTIO_VSOCK_OP_REQUEST);
	(void)close(fd);
	guest_expect_rst(&g, header.src_port, 80);
	guest_done(&g);
}

/* ---- ends ---- */

static void test_host_half_closes(void)
{
	struct virtio_vsock_hdr header;
	int fd;

	guest_init(&g, 4, SMALL_RX);
	fd = guest_connect(&g, 1024, 5000);
	CHECK(write(fd, "the end", 7) == 7);
	CHECK(shutdown(fd, SHUT_WR) == 0);
	guest_expect_text(&g, "the end");
	header = guest_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN);
	CHECK_INT(header.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
	/* The other way still works, until it is closed too. */
	guest_send_text(&g, 1024, 5000, "not mine");
	host_expect(&g, fd, "not mine", 8);
	(void)close(fd);
	header = guest_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN);
	CHECK_INT(header.flags, BOTH);
	guest_send_op(&g, VIRTIO_VSOCK_OP_RST, 1024, 5000, 0);
	guest_check_gone(&g, 1024, 5000);
	guest_done(&g);
}

static void test_guest_half_closes(void)
{
	int fd;

	guest_init(&g, 4, SMALL_RX);
	fd = guest_connect(&g, 1024, 5000);
	guest_send_text(&g, 1024, 5000, "the end");
	guest_send_op(&g, VIRTIO_VSOCK_OP_SHUTDOWN, 1024, 5000, VIRTIO_VSOCK_SHUTDOWN_SEND);
	host_expect(&g, fd, "the end", 7);
	host_expect(&g, fd, NULL, 0);
	CHECK(write(fd, "go on", 5) == 5);
	guest_expect_text(&g, "go on");
	/* The second half; the flags of both count, in whatever packets. */
	guest_send_op(&g, VIRTIO_VSOCK_OP_SHUTDOWN, 1024, 5000, VIRTIO_VSOCK_SHUTDOWN_RCV);
	guest_expect_rst(&g, 1024, 5000);
	guest_check_gone(&g, 1024, 5000);
	(void)close(fd);
	guest_done(&g);
}

static void test_guest_stops_reading(void)
{
	int fd;

	guest_init(&g, 4, SMALL_RX);
	fd = guest_connect(&g, 1024, 5000);
	guest_send_op(&g, VIRTIO_VSOCK_OP_SHUTDOWN, 1024, 5000, VIRTIO_VSOCK_SHUTDOWN_RCV);
	guest_expect_nothing(&g);
	CHECK(send(fd, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	guest_send_text(&g, 1024, 5000, "I still talk");
	host_expect(&g, fd, "I still talk", 12);
	(void)close(fd);
	CHECK_INT(guest_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN).flags, BOTH);
	guest_done(&g);
}

/* The host stops reading: the guest is told, what it sends is dropped, and its
 * credit goes on. */
static void test_host_stops_reading(void)
{
	static const char block[16384];
	struct virtio_vsock_hdr header = guest_header(VIRTIO_VSOCK_OP_RW, 1024, 5000);
	uint32_t written = 0;
	bool told = false;
	int fd;

	guest_init(&g, 8, SMALL_RX);
	fd = guest_connect(&g, 1024, 5000);
	CHECK(shutdown(fd, SHUT_RD) == 0);
	header.len = sizeof(block);
	for (uint32_t sent = 0; sent < (1 << 20);) {
		struct virtio_vsock_hdr reply;
		const uint8_t *payload;

		if (sent - written <= 128 * 1024 - sizeof(block) &&
		    guest_send(&g, &header, block, 0))
			sent += (uint32_t)sizeof(block);
		loop_step(g.d.loop, 0);
		while (guest_receive(&g, &reply, &payload)) {
			CHECK(reply.op != VIRTIO_VSOCK_OP_RST);
			written = reply.fwd_cnt;
			if (reply.op == VIRTIO_VSOCK_OP_SHUTDOWN) {
				CHECK_INT(reply.flags, VIRTIO_VSOCK_SHUTDOWN_RCV);
				told = true;
			}
		}
	}
	CHECK(told);
	CHECK(write(fd, "but I talk", 10) == 10);
	guest_expect_text(&g, "but I talk");
	(void)close(fd);
	guest_done(&g);
}

/* The guest closes while a slow reader has not got it all: RST at once, so that
 * the guest is done, and yet every byte arrives, and then the end. */
static void test_guest_closes_early(void)
{
	static uint8_t block[128 * 1024], got[sizeof(block)];
	struct virtio_vsock_hdr header = guest_header(VIRTIO_VSOCK_OP_RW, 1024, 5000);
	size_t n = 0;
	ssize_t r;
	int small = 4096;
	int fd;

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i * 31 >> 3);
	guest_init(&g, 4, SMALL_RX);
	fd = guest_connect(&g, 1024, 5000);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) == 0);
	/* Never read by the guest: its end must not cost the host the end either. */
	CHECK(write(fd, "unread", 6) == 6);
	for (header.len = 32 * 1024; n < sizeof(block); n += header.len)
		CHECK(guest_send(&g, &header, block + n, 0));
	guest_send_op(&g, VIRTIO_VSOCK_OP_SHUTDOWN, 1024, 5000, BOTH);
	for (;;) {
		struct virtio_vsock_hdr reply;
		const uint8_t *payload;

		loop_step(g.d.loop, 10);
		if (guest_receive(&g, &reply, &payload) && reply.op == VIRTIO_VSOCK_OP_RST)
			break;
	}
	for (n = 0; n < sizeof(got);) {
		loop_step(g.d.loop, 0);
		r = read(fd, got + n, 1000);
		CHECK(r != 0 && (r > 0 || errno == EAGAIN));
		n += r > 0 ? (size_t)r : 0;
	}
	CHECK(memcmp(got, block, sizeof(block)) == 0);
	host_expect(&g, fd, NULL, 0);
	(void)close(fd);
	guest_done(&g);
}

static void test_host_closes(void)
{
	uint32_t host_port;
	uint64_t start;
	int fd;

	guest_init(&g, 4, SMALL_RX);
	fd = guest_accept(&g, 80, &host_port);
	CHECK(write(fd, "bye", 3) == 3);
	(void)close(fd);
	guest_expect_text(&g, "bye");
	CHECK_INT(guest_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN).flags, BOTH);
	/* A guest that does not answer is reset after a while (§5.10.6.5). */
	start = clock_monotonic_ns();
	guest_expect_rst(&g, host_port, 80);
	CHECK(clock_monotonic_ns() - start > 8000000000ULL);
	guest_check_gone(&g, host_port, 80);
	guest_done(&g);
}

/* ---- resets ---- */

static void test_device_reset(void)
{
	uint32_t host_port;
	int out, in, greeting;

	guest_init(&g, 4, SMALL_RX);
	out = guest_connect(&g, 1024, 5000);
	in = guest_accept(&g, 80, &host_port);
	greeting = host_connect(&g, "CONN");
	loop_step(g.d.loop, 10);
	driver_reset(&g.d);
	host_expect(&g, out, NULL, 0);
	host_expect(&g, in, NULL, 0);
	host_expect(&g, greeting, NULL, 0);
	(void)close(out);
	(void)close(in);
	(void)close(greeting);
	/* A client that comes before the next driver waits for it. */
	in = host_connect(&g, "CONNECT 80\n");
	loop_step(g.d.loop, 10);
	guest_start(&g, 4, 1ULL << VIRTIO_RING_F_INDIRECT_DESC);
	(void)guest_expect(&g, VIRTIO_VSOCK_OP_REQUEST);
	(void)close(in);
	guest_done(&g);
}

/* A driver's buffers for events are left alone. */
static void test_event_queue(void)
{
	struct driver_buffer buffer;
	uint32_t host_port, written;
	uint16_t head;
	int fd;

	guest_init(&g, 4, SMALL_RX);
	buffer = (struct driver_buffer){ driver_alloc(&g.d, 4, 4), 4 };
	(void)ring_add(&g.d.rings[2], &buffer, 0, 1);
	driver_kick(&g.d, 2);
	fd = guest_accept(&g, 80, &host_port);
	CHECK(!ring_take(&g.d.rings[2], &head, &written));
	(void)close(fd);
	guest_done(&g);
}

/* More connections than descriptors or places: those there are go on, and the host finds one. */
static void test_many_connections(void)
{
	enum { MANY = 1500 };
	int listen_fd;
	static int fds[MANY];
	unsigned responses = 0, refusals = 0;
	struct virtio_vsock_hdr header;
	const uint8_t *payload;
	uint32_t host_port;
	int host_fd = -1;

	guest_init(&g, 64, SMALL_RX);
	listen_fd = host_listen(&g, 1024);
	for (unsigned i = 0; i < MANY; i++) {
		header = guest_header(VIRTIO_VSOCK_OP_REQUEST, 1024, 10000 + i);
		while (!guest_send(&g, &header, NULL, 0))
			loop_step(g.d.loop, 0);
		loop_step(g.d.loop, 0);
		fds[i] = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		while (guest_receive(&g, &header, &payload)) {
			responses += header.op == VIRTIO_VSOCK_OP_RESPONSE;
			refusals += header.op == VIRTIO_VSOCK_OP_RST;
		}
	}
	for (int i = 0; i < 20; i++) {
		loop_step(g.d.loop, 0);
		while (guest_receive(&g, &header, &payload)) {
			responses += header.op == VIRTIO_VSOCK_OP_RESPONSE;
			refusals += header.op == VIRTIO_VSOCK_OP_RST;
		}
	}
	CHECK_INT(responses + refusals, MANY);
	/* The test holds one end of each as well as the device. */
	CHECK(responses > 400 && responses <= VSOCK_GUEST_CONNS_MAX);
	if (responses == VSOCK_GUEST_CONNS_MAX)
		host_fd = guest_accept(&g, 80, &host_port);
	guest_send_text(&g, 1024, 10000, "first");
	host_expect(&g, fds[0], "first", 5);
	guest_send_text(&g, 1024, 10300, "another");
	host_expect(&g, fds[300], "another", 7);
	for (unsigned i = 0; i < MANY; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	(void)close(listen_fd);
	close_fdp(&host_fd);
	guest_done(&g);
}

static const struct test_case cases[] = {
	{ "config", test_config },
	{ "guest connects", test_guest_connects },
	{ "host connects", test_host_connects },
	{ "greeting and data", test_greeting_and_data },
	{ "bad greetings", test_bad_greetings },
	{ "silent client", test_silent_client },
	{ "nobody listens", test_nobody_listens },
	{ "host half-closes", test_host_half_closes },
	{ "guest half-closes", test_guest_half_closes },
	{ "guest stops reading", test_guest_stops_reading },
	{ "host stops reading", test_host_stops_reading },
	{ "guest closes early", test_guest_closes_early },
	{ "host closes", test_host_closes },
	{ "device reset", test_device_reset },
	{ "event queue", test_event_queue },
	{ "many connections", test_many_connections },
};

TEST_MAIN(cases)
