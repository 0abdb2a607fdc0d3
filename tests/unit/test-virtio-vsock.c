/* The socket device: connections, their ends, credit, and hostile packets. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "tests/unit/test.h"
#include "tests/unit/vsock-guest.h"
#include "virtio/devices.h"

#define BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)
#define SMALL_RX 4096

static struct guest g;

static void send_op(uint16_t op, uint32_t host_port, uint32_t guest_port, uint32_t flags)
{
	struct virtio_vsock_hdr header = guest_header(op, host_port, guest_port);

	header.flags = flags;
	CHECK(guest_send(&g, &header, NULL, 0));
}

static void send_text(uint32_t host_port, uint32_t guest_port, const char *text)
{
	struct virtio_vsock_hdr header = guest_header(VIRTIO_VSOCK_OP_RW, host_port, guest_port);

	header.len = (uint32_t)strlen(text);
	CHECK(guest_send(&g, &header, text, 0));
}

static void expect_text(const char *text)
{
	struct virtio_vsock_hdr header;
	const uint8_t *payload;
	uint64_t end = clock_monotonic_ns() + 20000000000ULL;

	while (!guest_receive(&g, &header, &payload)) {
		CHECK(clock_monotonic_ns() < end);
		loop_step(g.d.loop, 10);
	}
	CHECK_INT(header.op, VIRTIO_VSOCK_OP_RW);
	CHECK_INT(header.len, strlen(text));
	CHECK(memcmp(payload, text, header.len) == 0);
}

static void expect_rst(uint32_t host_port, uint32_t guest_port)
{
	struct virtio_vsock_hdr header = guest_expect(&g, VIRTIO_VSOCK_OP_RST);

	CHECK_INT(header.src_port, host_port);
	CHECK_INT(header.dst_port, guest_port);
}

/* The guest connects to (2, port); the host's end. */
static int connect_out(uint32_t port, uint32_t guest_port)
{
	int listen_fd = host_listen(&g, port);
	struct virtio_vsock_hdr header;
	int fd;

	send_op(VIRTIO_VSOCK_OP_REQUEST, port, guest_port, 0);
	fd = host_accept(&g, listen_fd);
	header = guest_expect(&g, VIRTIO_VSOCK_OP_RESPONSE);
	CHECK_INT(header.src_port, port);
	CHECK_INT(header.dst_port, guest_port);
	CHECK(header.buf_alloc >= 64 * 1024);
	CHECK_INT(header.fwd_cnt, 0);
	(void)close(listen_fd);
	host_unlisten(&g, port);
	return fd;
}

/* A host client connects to the guest's port; *ret_host_port is its own. */
static int connect_in(uint32_t port, uint32_t *ret_host_port)
{
	char line[32];
	int fd;
	struct virtio_vsock_hdr header;

	(void)snprintf(line, sizeof(line), "CONNECT %u\n", port);
	fd = host_connect(&g, line);
	header = guest_expect(&g, VIRTIO_VSOCK_OP_REQUEST);
	CHECK_INT(header.dst_port, port);
	CHECK_INT(header.type, VIRTIO_VSOCK_TYPE_STREAM);
	*ret_host_port = header.src_port;
	send_op(VIRTIO_VSOCK_OP_RESPONSE, header.src_port, port, 0);
	(void)snprintf(line, sizeof(line), "OK %u\n", header.src_port);
	host_expect(&g, fd, line, strlen(line));
	return fd;
}

/* The connection is known no more: what the guest sends for it gets an RST. */
static void check_gone(uint32_t host_port, uint32_t guest_port)
{
	send_op(VIRTIO_VSOCK_OP_CREDIT_UPDATE, host_port, guest_port, 0);
	expect_rst(host_port, guest_port);
}

static void test_config(void)
{
	uint64_t cid;

	guest_init(&g, 4, SMALL_RX);
	virtio_mmio_read(g.d.mmio, 0x100, &cid, 8);
	CHECK_INT(cid, GUEST_CID);
	CHECK_INT(g.d.device->n_queues, 3);
	guest_done(&g);
}

static void test_guest_connects(void)
{
	int fd;

	guest_init(&g, 4, SMALL_RX);
	fd = connect_out(1024, 5000);
	send_text(1024, 5000, "hello, host");
	host_expect(&g, fd, "hello, host", 11);
	CHECK(write(fd, "hello, guest", 12) == 12);
	expect_text("hello, guest");
	guest_expect_nothing(&g);
	(void)close(fd);
	guest_done(&g);
}

static void test_host_connects(void)
{
	uint32_t host_port, other;
	int fd, second;

	guest_init(&g, 4, SMALL_RX);
	fd = connect_in(80, &host_port);
	second = connect_in(80, &other);
	CHECK(other != host_port);
	CHECK(write(fd, "one", 3) == 3);
	expect_text("one");
	send_text(other, 80, "two");
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
	send_op(VIRTIO_VSOCK_OP_RESPONSE, header.src_port, 80, 0);
	expect_text("GET /\n");
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
	busy = connect_in(80, &host_port);
	host_expect(&g, silent, NULL, 0);
	CHECK(clock_monotonic_ns() - start > 4000000000ULL);
	send_text(host_port, 80, "still here");
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
	send_op(VIRTIO_VSOCK_OP_REQUEST, 4711, 5000, 0);
	expect_rst(4711, 5000);
	fd = host_connect(&g, "CONNECT 80\n");
	header = guest_expect(&g, VIRTIO_VSOCK_OP_REQUEST);
	send_op(VIRTIO_VSOCK_OP_RST, header.src_port, 80, 0);
	host_expect(&g, fd, NULL, 0);
	guest_expect_nothing(&g);
	(void)close(fd);
	/* A client that leaves before the guest has answered. */
	fd = host_connect(&g, "CONNECT 80\n");
	header = guest_expect(&g, VIRTIO_VSOCK_OP_REQUEST);
	(void)close(fd);
	expect_rst(header.src_port, 80);
	guest_done(&g);
}

/* ---- ends ---- */

static void test_host_half_closes(void)
{
	struct virtio_vsock_hdr header;
	int fd;

	guest_init(&g, 4, SMALL_RX);
	fd = connect_out(1024, 5000);
	CHECK(write(fd, "the end", 7) == 7);
	CHECK(shutdown(fd, SHUT_WR) == 0);
	expect_text("the end");
	header = guest_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN);
	CHECK_INT(header.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
	/* The other way still works, until it is closed too. */
	send_text(1024, 5000, "not mine");
	host_expect(&g, fd, "not mine", 8);
	(void)close(fd);
	header = guest_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN);
	CHECK_INT(header.flags, BOTH);
	send_op(VIRTIO_VSOCK_OP_RST, 1024, 5000, 0);
	check_gone(1024, 5000);
	guest_done(&g);
}

static void test_guest_half_closes(void)
{
	int fd;

	guest_init(&g, 4, SMALL_RX);
	fd = connect_out(1024, 5000);
	send_text(1024, 5000, "the end");
	send_op(VIRTIO_VSOCK_OP_SHUTDOWN, 1024, 5000, VIRTIO_VSOCK_SHUTDOWN_SEND);
	host_expect(&g, fd, "the end", 7);
	host_expect(&g, fd, NULL, 0);
	CHECK(write(fd, "go on", 5) == 5);
	expect_text("go on");
	/* The second half; the flags of both count, in whatever packets. */
	send_op(VIRTIO_VSOCK_OP_SHUTDOWN, 1024, 5000, VIRTIO_VSOCK_SHUTDOWN_RCV);
	expect_rst(1024, 5000);
	check_gone(1024, 5000);
	(void)close(fd);
	guest_done(&g);
}

static void test_guest_stops_reading(void)
{
	int fd;

	guest_init(&g, 4, SMALL_RX);
	fd = connect_out(1024, 5000);
	send_op(VIRTIO_VSOCK_OP_SHUTDOWN, 1024, 5000, VIRTIO_VSOCK_SHUTDOWN_RCV);
	guest_expect_nothing(&g);
	CHECK(send(fd, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	send_text(1024, 5000, "I still talk");
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
	fd = connect_out(1024, 5000);
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
	expect_text("but I talk");
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
	fd = connect_out(1024, 5000);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) == 0);
	/* Never read by the guest: its end must not cost the host the end either. */
	CHECK(write(fd, "unread", 6) == 6);
	for (header.len = 32 * 1024; n < sizeof(block); n += header.len)
		CHECK(guest_send(&g, &header, block + n, 0));
	send_op(VIRTIO_VSOCK_OP_SHUTDOWN, 1024, 5000, BOTH);
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
	fd = connect_in(80, &host_port);
	CHECK(write(fd, "bye", 3) == 3);
	(void)close(fd);
	expect_text("bye");
	CHECK_INT(guest_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN).flags, BOTH);
	/* A guest that does not answer is reset after a while (§5.10.6.5). */
	start = clock_monotonic_ns();
	expect_rst(host_port, 80);
	CHECK(clock_monotonic_ns() - start > 8000000000ULL);
	check_gone(host_port, 80);
	guest_done(&g);
}

/* ---- hostile packets ---- */

static void test_stray_packets(void)
{
	struct virtio_vsock_hdr header;
	static const uint16_t ops[] = { 0, 2, 4, 5, 6, 7, 8, 0xffff };

	guest_init(&g, 8, SMALL_RX);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		send_op(ops[i], 1, 2, 0);
		expect_rst(1, 2);
	}
	/* No RST for an RST: two such would never stop. */
	send_op(VIRTIO_VSOCK_OP_RST, 1, 2, 0);
	guest_expect_nothing(&g);
	/* Unknown type: MUST be RST (§5.10.6.4.2). */
	header = guest_header(VIRTIO_VSOCK_OP_REQUEST, 1024, 5000);
	header.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	CHECK(guest_send(&g, &header, NULL, 0));
	expect_rst(1024, 5000);
	/* Another cid: nobody there. */
	header = guest_header(VIRTIO_VSOCK_OP_REQUEST, 1024, 5000);
	header.dst_cid = 3;
	CHECK(guest_send(&g, &header, NULL, 0));
	header = guest_expect(&g, VIRTIO_VSOCK_OP_RST);
	CHECK_INT(header.src_cid, 3);
	header = guest_header(VIRTIO_VSOCK_OP_REQUEST, 1024, 5000);
	header.dst_cid = 2 | 1ULL << 32;
	CHECK(guest_send(&g, &header, NULL, 0));
	CHECK(guest_expect(&g, VIRTIO_VSOCK_OP_RST).src_cid == (2 | 1ULL << 32));
	/* In another's name: dropped. */
	header = guest_header(VIRTIO_VSOCK_OP_REQUEST, 1024, 5000);
	header.src_cid = 8;
	CHECK(guest_send(&g, &header, NULL, 0));
	guest_expect_nothing(&g);
	guest_done(&g);
}

static void test_wrong_moment(void)
{
	static const uint16_t established[] = { 0, VIRTIO_VSOCK_OP_REQUEST,
						VIRTIO_VSOCK_OP_RESPONSE, 8, 0xffff };
	static const uint16_t requested[] = { 0, VIRTIO_VSOCK_OP_REQUEST, VIRTIO_VSOCK_OP_RW,
					      VIRTIO_VSOCK_OP_SHUTDOWN, 8 };
	struct virtio_vsock_hdr header;
	int fd;

	guest_init(&g, 8, SMALL_RX);
	for (size_t i = 0; i < sizeof(established) / sizeof(established[0]); i++) {
		uint32_t port = 1024 + (uint32_t)i;

		fd = connect_out(port, 5000);
		send_op(established[i], port, 5000, 0);
		expect_rst(port, 5000);
		host_expect(&g, fd, NULL, 0);
		check_gone(port, 5000);
		(void)close(fd);
	}
	for (size_t i = 0; i < sizeof(requested) / sizeof(requested[0]); i++) {
		fd = host_connect(&g, "CONNECT 80\n");
		header = guest_expect(&g, VIRTIO_VSOCK_OP_REQUEST);
		send_op(requested[i], header.src_port, 80, 0);
		expect_rst(header.src_port, 80);
		host_expect(&g, fd, NULL, 0);
		(void)close(fd);
	}
	/* Data behind its own end. */
	fd = connect_out(2000, 5000);
	send_op(VIRTIO_VSOCK_OP_SHUTDOWN, 2000, 5000, VIRTIO_VSOCK_SHUTDOWN_SEND);
	send_text(2000, 5000, "more");
	expect_rst(2000, 5000);
	(void)close(fd);
	guest_done(&g);
}

static void test_malformed_packets(void)
{
	struct virtio_vsock_hdr header = guest_header(VIRTIO_VSOCK_OP_RW, 1024, 5000);
	int fd;

	guest_init(&g, 4, SMALL_RX);
	for (int i = 0; i < 4; i++) {
		fd = connect_out(1024, 5000);
		switch (i) {
		case 0: /* half a header */
			CHECK(guest_send(&g, &header, NULL, GUEST_HEADER - 1));
			break;
		case 1: /* a payload that is not there */
			header.len = 10;
			CHECK(guest_send(&g, &header, "1234567890", GUEST_HEADER + 9));
			break;
		case 2:
			header.len = UINT32_MAX;
			CHECK(guest_send(&g, &header, NULL, GUEST_HEADER));
			break;
		default: /* a receive buffer without room */
			g.rx_size = GUEST_HEADER + 1;
			for (int j = 0; j < 4; j++) {
				struct driver_buffer buffer = { DRIVER_RAM_BASE, 20 };

				(void)ring_add(&g.d.rings[0], &buffer, 0, 1);
			}
			for (int j = 0; j < 8; j++)
				send_op(VIRTIO_VSOCK_OP_CREDIT_REQUEST, 1, 2, 0);
		}
		driver_expect_needs_reset(&g.d);
		/* Its connections are over, too. */
		host_expect(&g, fd, NULL, 0);
		(void)close(fd);
		g.rx_size = SMALL_RX;
		guest_start(&g, 4, ~0ULL);
	}
	/* More room than the packet says is fine (§5.10.6). */
	fd = connect_out(1024, 5000);
	header.len = 5;
	CHECK(guest_send(&g, &header, "12345", GUEST_HEADER + 4000));
	host_expect(&g, fd, "12345", 5);
	guest_expect_nothing(&g);
	(void)close(fd);
	guest_done(&g);
}

static void test_credit_overrun(void)
{
	static const char block[32 * 1024];
	struct virtio_vsock_hdr header = guest_header(VIRTIO_VSOCK_OP_RW, 1024, 5000);
	int fd, other;

	guest_init(&g, 8, SMALL_RX);
	fd = connect_out(1024, 5000);
	other = connect_out(1025, 5000);
	/* Up to the credit, though not a byte of it was asked for. */
	header.len = sizeof(block);
	for (int i = 0; i < 4; i++)
		CHECK(guest_send(&g, &header, block, 0));
	/* It may be told of more room meanwhile; it goes by what it knew. */
	header.len = 1;
	loop_step(g.d.loop, 10);
	{
		struct virtio_vsock_hdr reply;
		const uint8_t *payload;
		uint32_t room = 0;

		while (guest_receive(&g, &reply, &payload))
			room = reply.fwd_cnt;
		header.len = GUEST_PACKET_MAX;
		for (uint32_t n = 0; n <= room + 128 * 1024; n += header.len)
			CHECK(guest_send(&g, &header, NULL, 0));
	}
	for (;;) {
		struct virtio_vsock_hdr reply = { 0 };
		const uint8_t *payload;

		loop_step(g.d.loop, 10);
		if (guest_receive(&g, &reply, &payload) && reply.op == VIRTIO_VSOCK_OP_RST)
			break;
	}
	CHECK(!driver_needs_reset(&g.d));
	for (int i = 0; i < 3; i++) {
		struct virtio_vsock_hdr reply;
		const uint8_t *payload;

		loop_step(g.d.loop, 10);
		while (guest_receive(&g, &reply, &payload))
			continue;
	}
	header = guest_header(VIRTIO_VSOCK_OP_RW, 1025, 5000);
	header.len = 2;
	CHECK(guest_send(&g, &header, "ok", 0));
	host_expect(&g, other, "ok", 2);
	(void)close(fd);
	(void)close(other);
	guest_done(&g);
}

/* The device keeps to the guest's credit, asks once when there is none, and goes
 * on when there is. */
static void test_guest_credit(void)
{
	static char block[10000];
	struct virtio_vsock_hdr header;
	const uint8_t *payload;
	uint32_t total = 0;
	int listen_fd, fd;

	guest_init(&g, 8, 65536);
	listen_fd = host_listen(&g, 1024);
	header = guest_header(VIRTIO_VSOCK_OP_REQUEST, 1024, 5000);
	header.buf_alloc = 1000;
	CHECK(guest_send(&g, &header, NULL, 0));
	fd = host_accept(&g, listen_fd);
	(void)guest_expect(&g, VIRTIO_VSOCK_OP_RESPONSE);
	CHECK(write(fd, block, sizeof(block)) == sizeof(block));
	CHECK_INT(guest_expect(&g, VIRTIO_VSOCK_OP_RW).len, 1000);
	total = 1000;
	(void)guest_expect(&g, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	guest_expect_nothing(&g);
	/* Asked, answered, still none: not asked again. */
	header = guest_header(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1024, 5000);
	header.buf_alloc = 1000;
	CHECK(guest_send(&g, &header, NULL, 0));
	guest_expect_nothing(&g);
	/* A smaller buffer than what is in flight is no credit either. */
	header.buf_alloc = 500;
	CHECK(guest_send(&g, &header, NULL, 0));
	guest_expect_nothing(&g);
	/* A lie about what was never sent harms nobody. */
	header.fwd_cnt = 5000;
	CHECK(guest_send(&g, &header, NULL, 0));
	guest_expect_nothing(&g);
	while (total < sizeof(block)) {
		header.buf_alloc = 1000;
		header.fwd_cnt = total - 300;
		CHECK(guest_send(&g, &header, NULL, 0));
		CHECK_INT(guest_expect(&g, VIRTIO_VSOCK_OP_RW).len, 700);
		total += 700;
		if (total + 700 > sizeof(block))
			break;
		(void)guest_expect(&g, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	}
	(void)close(listen_fd);
	(void)close(fd);
	loop_step(g.d.loop, 10);
	while (guest_receive(&g, &header, &payload))
		continue;
	guest_done(&g);
}

/* The tx queue waits for rx when there is no place left to note what is owed. */
static void test_no_rx_buffers(void)
{
	struct virtio_vsock_hdr header;
	const uint8_t *payload;
	unsigned sent = 0, received = 0;

	guest_init(&g, 0, SMALL_RX);
	g.keep_rx = true;
	for (int i = 0; i < 100; i++) {
		while (sent < 200) {
			header = guest_header(VIRTIO_VSOCK_OP_RW, 1, sent);
			if (!guest_send(&g, &header, NULL, 0))
				break;
			sent++;
		}
		loop_step(g.d.loop, 0);
	}
	CHECK(sent >= 64 && sent < 200);
	for (unsigned i = 0; i < 100; i++) {
		g.rx_at[i] = driver_alloc(&g.d, SMALL_RX + 64, 64);
		guest_add_rx(&g, i);
	}
	driver_kick(&g.d, 0);
	g.keep_rx = false;
	while (received < 200) {
		loop_step(g.d.loop, 10);
		while (guest_receive(&g, &header, &payload)) {
			CHECK_INT(header.op, VIRTIO_VSOCK_OP_RST);
			CHECK_INT(header.dst_port, received);
			received++;
		}
		while (sent < 200) {
			header = guest_header(VIRTIO_VSOCK_OP_RW, 1, sent);
			if (!guest_send(&g, &header, NULL, 0))
				break;
			sent++;
		}
	}
	guest_done(&g);
}

/* ---- resets ---- */

static void test_device_reset(void)
{
	uint32_t host_port;
	int out, in, greeting;

	guest_init(&g, 4, SMALL_RX);
	out = connect_out(1024, 5000);
	in = connect_in(80, &host_port);
	greeting = host_connect(&g, "CONN");
	loop_step(g.d.loop, 10);
	driver_write(&g.d, 0x070, 0);
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

static void check_event(void)
{
	struct driver_ring *ring = &g.d.rings[2];
	uint16_t head;
	uint32_t written;
	uint64_t end = clock_monotonic_ns() + 20000000000ULL;

	while (!ring_take(ring, &head, &written)) {
		CHECK(clock_monotonic_ns() < end);
		loop_step(g.d.loop, 10);
	}
	CHECK_INT(written, sizeof(struct virtio_vsock_event));
	CHECK_INT(*(uint32_t *)driver_at(&g.d, ring->desc[head].addr),
		  VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
}

static void test_transport_reset(void)
{
	struct driver_buffer buffer;
	uint32_t host_port, again;
	uint16_t head;
	uint32_t written;
	int fd;

	guest_init(&g, 4, SMALL_RX);
	fd = connect_in(80, &host_port);
	buffer = (struct driver_buffer){ driver_alloc(&g.d, 4, 4), 4 };
	*(uint32_t *)driver_at(&g.d, buffer.gpa) = 0xffffffff;
	(void)ring_add(&g.d.rings[2], &buffer, 0, 1);
	vsock_transport_reset(g.d.device);
	check_event();
	host_expect(&g, fd, NULL, 0);
	(void)close(fd);
	check_gone(host_port, 80);
	/* New connections work, from another port. */
	fd = connect_in(80, &again);
	CHECK(again != host_port);
	/* Without a buffer the event waits for one; it comes once. */
	vsock_transport_reset(g.d.device);
	loop_step(g.d.loop, 10);
	CHECK(!ring_take(&g.d.rings[2], &head, &written));
	*(uint32_t *)driver_at(&g.d, buffer.gpa) = 0xffffffff;
	(void)ring_add(&g.d.rings[2], &buffer, 0, 1);
	driver_kick(&g.d, 2);
	check_event();
	(void)ring_add(&g.d.rings[2], &buffer, 0, 1);
	driver_kick(&g.d, 2);
	loop_step(g.d.loop, 10);
	CHECK(!ring_take(&g.d.rings[2], &head, &written));
	(void)close(fd);
	/* One that is too small for an event is a fault. */
	guest_start(&g, 4, ~0ULL);
	buffer.length = 3;
	(void)ring_add(&g.d.rings[2], &buffer, 0, 1);
	vsock_transport_reset(g.d.device);
	CHECK(driver_needs_reset(&g.d));
	guest_done(&g);
}

/* More connections than descriptors or places: those there are go on. */
static void test_many_connections(void)
{
	enum { MANY = 1500 };
	int listen_fd;
	static int fds[MANY];
	unsigned responses = 0, refusals = 0;
	struct virtio_vsock_hdr header;
	const uint8_t *payload;

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
	CHECK(responses > 400);
	send_text(1024, 10000, "first");
	host_expect(&g, fds[0], "first", 5);
	send_text(1024, 10300, "another");
	host_expect(&g, fds[300], "another", 7);
	for (unsigned i = 0; i < MANY; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	(void)close(listen_fd);
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
	{ "stray packets", test_stray_packets },
	{ "packets at the wrong moment", test_wrong_moment },
	{ "malformed packets", test_malformed_packets },
	{ "credit overrun", test_credit_overrun },
	{ "the guest's credit", test_guest_credit },
	{ "no rx buffers", test_no_rx_buffers },
	{ "device reset", test_device_reset },
	{ "transport reset", test_transport_reset },
	{ "many connections", test_many_connections },
};

TEST_MAIN(cases)
