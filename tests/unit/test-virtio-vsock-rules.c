/* SPDX-License-Identifier: Apache-2.0 */
/* The socket device: credit, and packets that break the rules. */
#include <string.h>
#include <unistd.h>

#include "tests/unit/test.h"
#include "tests/unit/vsock-guest.h"

#define SMALL_RX 4096

static struct guest g;

static void test_stray_packets(void)
{
	struct virtio_vsock_hdr header;
	static const uint16_t ops[] = { 0, 2, 4, 5, 6, 7, 8, 0xffff };

	guest_init(&g, 8, SMALL_RX);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		guest_send_op(&g, ops[i], 1, 2, 0);
		guest_expect_rst(&g, 1, 2);
	}
	/* No RST for an RST: two such would never stop. */
	guest_send_op(&g, VIRTIO_VSOCK_OP_RST, 1, 2, 0);
	guest_expect_nothing(&g);
	/* Unknown type: MUST be RST (§5.10.6.4.2). */
	header = guest_header(VIRTIO_VSOCK_OP_REQUEST, 1024, 5000);
	header.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	CHECK(guest_send(&g, &header, NULL, 0));
	guest_expect_rst(&g, 1024, 5000);
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

		fd = guest_connect(&g, port, 5000);
		guest_send_op(&g, established[i], port, 5000, 0);
		guest_expect_rst(&g, port, 5000);
		host_expect(&g, fd, NULL, 0);
		guest_check_gone(&g, port, 5000);
		(void)close(fd);
	}
	for (size_t i = 0; i < sizeof(requested) / sizeof(requested[0]); i++) {
		fd = host_connect(&g, "CONNECT 80\n");
		header = guest_expect(&g, VIRTIO_VSOCK_OP_REQUEST);
		guest_send_op(&g, requested[i], header.src_port, 80, 0);
		guest_expect_rst(&g, header.src_port, 80);
		host_expect(&g, fd, NULL, 0);
		(void)close(fd);
	}
	/* Data behind its own end. */
	fd = guest_connect(&g, 2000, 5000);
	guest_send_op(&g, VIRTIO_VSOCK_OP_SHUTDOWN, 2000, 5000, VIRTIO_VSOCK_SHUTDOWN_SEND);
	guest_send_text(&g, 2000, 5000, "more");
	guest_expect_rst(&g, 2000, 5000);
	(void)close(fd);
	guest_done(&g);
}

static void test_malformed_packets(void)
{
	struct virtio_vsock_hdr header = guest_header(VIRTIO_VSOCK_OP_RW, 1024, 5000);
	int fd;

	guest_init(&g, 4, SMALL_RX);
	for (int i = 0; i < 4; i++) {
		fd = guest_connect(&g, 1024, 5000);
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
				guest_send_op(&g, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 1, 2, 0);
		}
		driver_expect_needs_reset(&g.d);
		/* Its connections are over, too. */
		host_expect(&g, fd, NULL, 0);
		(void)close(fd);
		g.rx_size = SMALL_RX;
		guest_start(&g, 4, ~0ULL);
	}
	/* More room than the packet says is fine (§5.10.6). */
	fd = guest_connect(&g, 1024, 5000);
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
	fd = guest_connect(&g, 1024, 5000);
	other = guest_connect(&g, 1025, 5000);
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
	/* A smaller buffer than what is in flight gives no credit either. */
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

static const struct test_case cases[] = {
	{ "stray packets", test_stray_packets },
	{ "packets at the wrong moment", test_wrong_moment },
	{ "malformed packets", test_malformed_packets },
	{ "credit overrun", test_credit_overrun },
	{ "the guest's credit", test_guest_credit },
	{ "no rx buffers", test_no_rx_buffers },
};

TEST_MAIN(cases)
