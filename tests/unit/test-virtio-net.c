/* SPDX-License-Identifier: Apache-2.0 */
/* The network device, with a stream of frames at its other end. */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "tests/unit/net-guest.h"
#include "tests/unit/test.h"
#include "virtio/net-link.h"

#define BIT(feature) (1ULL << VIRTIO_NET_F_##feature)
#define EVENT_IDX (1ULL << VIRTIO_RING_F_EVENT_IDX)
#define FRAME_MAX (65535 + 14)
#define PATIENCE_NS 20000000000ULL

static int peer; /* the other end, non-blocking */
static uint8_t frame[FRAME_MAX + 64];

static void start_with(uint64_t features)
{
	struct net_options options = { .vhost_fd = -1, .backend = NET_STREAM, .mac = NET_TEST_MAC };
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	peer = pair[0];
	options.fd = pair[1];
	net_guest_new(&options, features);
}

static void start(void)
{
	start_with(~0ULL);
}

static void done(void)
{
	driver_done(&guest);
	(void)close(peer);
}

/* ---- the peer ---- */

static void peer_write(const void *bytes, size_t size)
{
	uint64_t end = clock_monotonic_ns() + PATIENCE_NS;

	while (size > 0) {
		ssize_t n = send(peer, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);

		CHECK(n > 0 || errno == EAGAIN);
		CHECK(clock_monotonic_ns() < end);
		if (n > 0) {
			bytes = (const uint8_t *)bytes + n;
			size -= (size_t)n;
		} else {
			loop_step(guest.loop, 1);
		}
	}
}

static void peer_send(uint32_t size, unsigned seed)
{
	const uint32_t length = htobe32(size);

	net_fill(frame, size, seed);
	peer_write(&length, sizeof(length));
	peer_write(frame, size);
}

static void peer_read(void *bytes, size_t size)
{
	uint64_t end = clock_monotonic_ns() + PATIENCE_NS;

	while (size > 0) {
		ssize_t n = recv(peer, bytes, size, MSG_DONTWAIT);

		CHECK(n > 0 || (n < 0 && errno == EAGAIN));
		CHECK(clock_monotonic_ns() < end);
		if (n > 0) {
			bytes = (uint8_t *)bytes + n;
			size -= (size_t)n;
		} else {
			loop_step(guest.loop, 1);
		}
	}
}

static void peer_expect(uint32_t size, unsigned seed)
{
	static uint8_t got[FRAME_MAX];
	uint32_t length;

	peer_read(&length, sizeof(length));
	CHECK_INT(be32toh(length), size);
	peer_read(got, size);
	net_check(got, size, seed);
}

static void peer_expect_none(void)
{
	char byte;

	net_guest_steps();
	CHECK(recv(peer, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
}

/* ---- the guest ---- */

static uint16_t guest_send(uint32_t size, unsigned seed)
{
	net_fill(frame, size, seed);
	return net_guest_send(NULL, frame, size);
}

static void guest_expect(uint32_t size, unsigned seed, unsigned n_buffers)
{
	static uint8_t got[FRAME_MAX];
	struct virtio_net_hdr_v1 header, expected = { .num_buffers = htole16(n_buffers) };

	CHECK_INT(net_guest_take(&header, got, sizeof(got)), size);
	net_check(got, size, seed);
	CHECK(memcmp(&header, &expected, sizeof(header)) == 0);
}

/* ---- tests ---- */

static void test_configuration(void)
{
	struct net_options options = { .fd = -1, .vhost_fd = -1, .mac = NET_TEST_MAC, .mtu = 1400 };
	const uint64_t offloads = BIT(CSUM) | BIT(GUEST_CSUM) | BIT(HOST_TSO4) | BIT(GUEST_TSO4) |
				  BIT(HOST_TSO6) | BIT(GUEST_TSO6) | BIT(HOST_ECN) | BIT(GUEST_ECN);
	struct virtio_net_config config;

	/* No link at all: what is sent is lost, and nothing comes. */
	net_guest_new(&options, ~0ULL);
	driver_config_read(&guest, 0, &config, offsetof(struct virtio_net_config, speed));
	CHECK(memcmp(config.mac, options.mac, sizeof(config.mac)) == 0);
	CHECK_INT(config.status, 0);
	CHECK_INT(le16toh(config.mtu), 1400);
	CHECK(guest.device->features & BIT(MTU));
	CHECK((guest.device->features & offloads) == 0);
	net_guest_give(1, 2048);
	net_guest_sent(guest_send(100, 1));
	net_guest_expect_none();
	driver_done(&guest);
	start();
	CHECK_INT(net_guest_status(), VIRTIO_NET_S_LINK_UP);
	CHECK((guest.device->features & (offloads | BIT(MTU) | BIT(HOST_USO) | BIT(GUEST_USO4))) ==
	      0);
	CHECK(guest.device->features & BIT(MAC));
	done();
}

static void test_transmit(void)
{
	struct driver_buffer one = { 0, 12 + 300 }, parts[300];
	uint8_t *bytes;
	int head;

	start();
	net_guest_sent(guest_send(14, 1));
	peer_expect(14, 1);
	net_guest_sent(guest_send(FRAME_MAX, 2));
	peer_expect(FRAME_MAX, 2);
	/* Header and frame in one descriptor, or each byte in its own. */
	bytes = driver_at(&guest, net_page);
	memset(bytes, 0, 12);
	net_fill(bytes + 12, 300, 3);
	one.gpa = net_page;
	head = ring_add(&guest.rings[NET_TRANSMIT], &one, 1, 0);
	net_guest_sent((uint16_t)head);
	peer_expect(300, 3);
	net_fill(bytes + 12, 200, 3);
	for (unsigned i = 0; i < 212; i++)
		parts[i] = (struct driver_buffer){ net_page + i, 1 };
	head = ring_add(&guest.rings[NET_TRANSMIT], parts, 212, 0);
	net_guest_sent((uint16_t)head);
	peer_expect(200, 3);
	done();
}

/* To a loopback or unspecified address: lost, whatever descriptors it is spread over. */
static void send_to(uint16_t protocol, const char *address, bool spread)
{
	const int family = protocol == ETH_P_IP ? AF_INET : AF_INET6;
	struct driver_buffer parts[12 + 100];
	uint8_t *bytes = driver_at(&guest, net_page);
	uint8_t *packet = bytes + 12 + ETH_HLEN;

	memset(bytes, 0, 12);
	net_fill(bytes + 12, 100, 7);
	bytes[12 + 12] = (uint8_t)(protocol >> 8);
	bytes[12 + 13] = (uint8_t)protocol;
	CHECK_INT(inet_pton(family, address, packet + (family == AF_INET ? 16 : 24)), 1);
	for (unsigned i = 0; i < ARRAY_SIZE(parts); i++)
		parts[i] = (struct driver_buffer){ net_page + i, 1 };
	parts[0].length = spread ? 1 : 12 + 100;
	net_guest_sent(
	    (uint16_t)ring_add(&guest.rings[NET_TRANSMIT], parts, spread ? 12 + 100 : 1, 0));
}

static void test_addresses_of_nowhere(void)
{
	static const char *const nowhere[] = { "127.0.0.1",	   "127.9.9.9",	    "0.0.0.0",
					       "0.1.2.3",	   "::1",	    "::",
					       "::ffff:127.0.0.1", "::ffff:0.0.0.0" };
	static const char *const somewhere[] = { "10.0.2.2",  "255.255.255.255", "126.0.0.1",
						 "128.0.0.1", "fd00::1",	 "ff02::1",
						 "::2",	      "::ffff:10.0.0.1" };
	uint8_t length_and_frame[4 + 100];

	start();
	for (unsigned i = 0; i < ARRAY_SIZE(nowhere); i++) {
		send_to(strchr(nowhere[i], ':') ? ETH_P_IPV6 : ETH_P_IP, nowhere[i], false);
		send_to(strchr(nowhere[i], ':') ? ETH_P_IPV6 : ETH_P_IP, nowhere[i], true);
		peer_expect_none();
	}
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(somewhere); i++) {
		const char *address = somewhere[i / 2];

		send_to(strchr(address, ':') ? ETH_P_IPV6 : ETH_P_IP, address, i % 2);
		peer_read(length_and_frame, sizeof(length_and_frame));
		CHECK(memcmp(length_and_frame + 4, (uint8_t *)driver_at(&guest, net_page) + 12,
			     100) == 0);
	}
	/* Too short to have an address. */
	net_guest_sent(guest_send(20, 1));
	peer_expect(20, 1);
	done();
}

static void test_receive(void)
{
	start();
	net_guest_give(4, 2048);
	peer_send(14, 1);
	peer_send(1514, 2);
	guest_expect(14, 1, 1);
	guest_expect(1514, 2, 1);
	/* In as many buffers as it takes, the last one full. */
	net_guest_give(8, 1024);
	peer_send(2048 - 12 + 2048 + 1024, 3);
	guest_expect(2048 - 12 + 2048 + 1024, 3, 3);
	net_guest_give(100, 1024);
	peer_send(FRAME_MAX, 4);
	guest_expect(FRAME_MAX, 4, (12 + FRAME_MAX + 1023) / 1024);
	/* Buffers of one byte behind the first. */
	done();
	start();
	net_guest_give(1, 12);
	net_guest_give(40, 1);
	peer_send(40, 5);
	guest_expect(40, 5, 41);
	done();
}

/* A frame waits until there is room for all of it, and those behind it too. */
static void test_too_few_buffers(void)
{
	static const uint64_t features[] = { ~0ULL, ~EVENT_IDX };

	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		start_with(features[i]);
		peer_send(5000, 1);
		peer_send(60, 2);
		net_guest_expect_none();
		net_guest_give(2, 1024);
		net_guest_expect_none();
		net_guest_give(2, 1024);
		net_guest_expect_none();
		net_guest_give(1, 1024);
		guest_expect(5000, 1, 5);
		net_guest_expect_none();
		net_guest_give(1, 1024);
		guest_expect(60, 2, 1);
		net_guest_give(1, 1024);
		peer_send(70, 3);
		guest_expect(70, 3, 1);
		done();
	}
}

static void test_one_buffer(void)
{
	start_with(~BIT(MRG_RXBUF));
	net_guest_give(2, 1024);
	peer_send(1024 - 12 + 1, 1); /* is dropped */
	peer_send(1024 - 12, 2);
	guest_expect(1024 - 12, 2, 1);
	peer_send(60, 3);
	guest_expect(60, 3, 1);
	net_guest_expect_none();
	done();
}

/* What a header asks for that was not agreed on: the frame is lost, and no more. */
static void test_bad_frames(void)
{
	static const struct virtio_net_hdr_v1 bad[] = {
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 14, .csum_offset = 2 },
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		  .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		  .gso_size = 20,
		  .csum_start = 14,
		  .csum_offset = 2 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV6, .gso_size = 20 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 20 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_ECN },
		{ .gso_type = 0x7f },
	};
	/* Flags that mean nothing to a device are to be ignored. */
	const struct virtio_net_hdr_v1 good = { .flags = 0xfe, .hdr_len = 0xffff };

	start();
	net_fill(frame, 200, 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		net_guest_sent(net_guest_send(&bad[i], frame, 200));
	net_guest_sent(guest_send(13, 1));
	net_guest_sent(guest_send(FRAME_MAX + 1, 1));
	peer_expect_none();
	net_fill(frame, 200, 2);
	net_guest_sent(net_guest_send(&good, frame, 200));
	peer_expect(200, 2);
	done();
}

static void expect_fault(unsigned queue, const struct driver_buffer *buffers, unsigned n_out,
			 unsigned n_in)
{
	CHECK(ring_add(&guest.rings[queue], buffers, n_out, n_in) >= 0);
	peer_send(60, 1);
	driver_kick(&guest, queue);
	driver_expect_needs_reset(&guest);
	net_guest_start(~0ULL);
	net_guest_sent(guest_send(60, 2));
	peer_expect(60, 2);
}

static void test_faults(void)
{
	struct driver_buffer buffers[2];

	start();
	buffers[0] = (struct driver_buffer){ net_page, 11 };
	buffers[1] = (struct driver_buffer){ net_page + 4096, 100 };
	expect_fault(NET_TRANSMIT, buffers, 1, 0);
	expect_fault(NET_TRANSMIT, &buffers[1], 0, 1);
	expect_fault(NET_TRANSMIT, &buffers[0], 1, 1);
	expect_fault(NET_RECEIVE, &buffers[0], 0, 1);
	expect_fault(NET_RECEIVE, &buffers[0], 1, 1);
	expect_fault(NET_CONTROL, &buffers[0], 1, 0);
	done();
}

/* In the smallest pieces, across frames too. */
static void test_partial_reads(void)
{
	uint8_t bytes[2 * (4 + 60) + 4];
	const uint32_t length = htobe32(60);

	start();
	net_guest_give(4, 2048);
	for (unsigned i = 0; i < 2; i++) {
		memcpy(bytes + (size_t)64 * i, &length, sizeof(length));
		net_fill(bytes + (size_t)64 * i + 4, 60, i);
	}
	for (size_t i = 0; i < 128; i++) {
		peer_write(&bytes[i], 1);
		loop_step(guest.loop, 1);
	}
	guest_expect(60, 0, 1);
	guest_expect(60, 1, 1);
	peer_write(bytes, 3);
	net_guest_expect_none();
	peer_write(bytes + 3, 64 + 2);
	guest_expect(60, 0, 1);
	net_guest_expect_none();
	peer_write(bytes + 64 + 5, 62);
	(void)net_guest_status();
	done();
}

#define N_LARGE 30

/* A peer that does not read: frames wait in the queue, and none is torn. */
static void test_partial_writes(void)
{
	uint16_t head;
	uint32_t written;
	unsigned n_sent = 0;

	start();
	for (unsigned i = 0; i < N_LARGE; i++) {
		const uint32_t size = 12 + 20000 + i;
		const gpa_t at = driver_alloc(&guest, size, 16);
		struct driver_buffer buffer = { at, size };

		memset(driver_at(&guest, at), 0, 12);
		net_fill((uint8_t *)driver_at(&guest, at) + 12, 20000 + i, i);
		CHECK(ring_add(&guest.rings[NET_TRANSMIT], &buffer, 1, 0) >= 0);
	}
	driver_kick(&guest, NET_TRANSMIT);
	net_guest_steps();
	while (ring_take(&guest.rings[NET_TRANSMIT], &head, &written))
		n_sent++;
	CHECK(n_sent > 0 && n_sent < N_LARGE);
	/* The other direction goes on. */
	net_guest_give(1, 2048);
	peer_send(60, 1);
	guest_expect(60, 1, 1);
	for (unsigned i = 0; i < N_LARGE; i++)
		peer_expect(20000 + i, i);
	net_guest_steps();
	while (ring_take(&guest.rings[NET_TRANSMIT], &head, &written))
		n_sent++;
	CHECK_INT(n_sent, N_LARGE);
	net_guest_sent(guest_send(60, 7));
	peer_expect(60, 7);
	done();
}

static void expect_down(void)
{
	uint64_t end = clock_monotonic_ns() + PATIENCE_NS;

	while (net_guest_status() & VIRTIO_NET_S_LINK_UP) {
		CHECK(clock_monotonic_ns() < end);
		loop_step(guest.loop, 10);
	}
	net_guest_sent(guest_send(60, 1));
	net_guest_expect_none();
	/* For the next driver, too. */
	net_guest_start(~0ULL);
	net_guest_give(1, 2048);
	CHECK_INT(net_guest_status(), 0);
	net_guest_sent(guest_send(60, 1));
	net_guest_expect_none();
}

static void test_hang_up(void)
{
	start();
	net_guest_give(2, 2048);
	peer_send(60, 1);
	(void)shutdown(peer, SHUT_WR);
	guest_expect(60, 1, 1);
	expect_down();
	done();
	/* While a frame is half written. */
	start();
	for (unsigned i = 0; i < 20; i++)
		(void)guest_send(30000, i);
	net_guest_steps();
	(void)close(peer);
	net_guest_give(1, 2048);
	for (unsigned n = 0; n < 20;) {
		uint16_t head;
		uint32_t written;

		if (ring_take(&guest.rings[NET_TRANSMIT], &head, &written))
			n++;
		else
			loop_step(guest.loop, 10);
	}
	expect_down();
	driver_done(&guest);
}

/* Down and up again, as often as somebody says so; but not when nobody is there any more. */
static void test_cable(void)
{
	start();
	net_set_link(guest.device, false);
	CHECK_INT(net_guest_status(), 0);
	net_set_link(guest.device, true);
	net_set_link(guest.device, true);
	CHECK_INT(net_guest_status(), VIRTIO_NET_S_LINK_UP);
	net_guest_give(1, 2048);
	peer_send(60, 1);
	guest_expect(60, 1, 1);
	net_guest_give(1, 2048);
	(void)shutdown(peer, SHUT_WR);
	expect_down();
	net_set_link(guest.device, true);
	CHECK_INT(net_guest_status(), 0);
	done();
}

static void test_bad_lengths(void)
{
	static const uint32_t sizes[] = { 0, 13, FRAME_MAX + 1, UINT32_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const uint32_t length = htobe32(sizes[i]);

		start();
		net_guest_give(2, 2048);
		peer_write(&length, sizeof(length));
		expect_down();
		done();
	}
}

/* Nothing of one driver's reaches the next, and the framing holds. */
static void test_reset(void)
{
	uint16_t head;
	uint32_t written, length;
	static uint8_t got[30000];
	unsigned n = 0;

	start();
	peer_send(60, 1);
	peer_send(61, 2);
	net_guest_give(1, 32); /* too small: the frames are pending */
	net_guest_expect_none();
	driver_reset(&guest);
	net_guest_steps();
	net_guest_start(~0ULL);
	net_guest_give(2, 2048);
	net_guest_expect_none();
	peer_send(62, 3);
	guest_expect(62, 3, 1);
	/* While frames wait to be sent, one of them begun. */
	net_fill(frame, sizeof(got), 9);
	for (unsigned i = 0; i < 20; i++)
		(void)net_guest_send(NULL, frame, sizeof(got));
	net_guest_steps();
	while (ring_take(&guest.rings[NET_TRANSMIT], &head, &written))
		n++;
	CHECK(n > 0 && n < 20);
	driver_reset(&guest);
	net_guest_steps();
	net_guest_start(~0ULL);
	(void)guest_send(60, 5);
	for (unsigned i = 0; i < n; i++) {
		peer_read(&length, sizeof(length));
		CHECK_INT(be32toh(length), sizeof(got));
		peer_read(got, sizeof(got));
		net_check(got, sizeof(got), 9);
	}
	peer_expect(60, 5);
	peer_expect_none();
	done();
}

static void test_flood(void)
{
	start();
	net_guest_give(256, 256);
	for (unsigned i = 0; i < 240; i++)
		peer_send(60 + i % 100, i);
	for (unsigned i = 0; i < 2000; i++) {
		guest_expect(60 + i % 100, i, 1);
		net_guest_give(1, 256);
		if (i + 240 < 2000)
			peer_send(60 + (i + 240) % 100, i + 240);
	}
	done();
}

static void test_control(void)
{
	static const uint8_t other[6] = { 0x02, 1, 2, 3, 4, 5 }, group[6] = { 0x03 };
	static const uint8_t first[6] = NET_TEST_MAC;
	/* 1 entry, then 2 entries */
	uint8_t tables[4 + 6 + 4 + 12] = { 1 };
	uint8_t mac[6], on = 1, neither = 2;

	start();
	tables[10] = 2;
	for (uint8_t command = 0; command < 2; command++) {
		CHECK_INT(net_guest_command(VIRTIO_NET_CTRL_RX, command, &on, 1), VIRTIO_NET_OK);
		CHECK_INT(net_guest_command(VIRTIO_NET_CTRL_RX, command, &on, 0), VIRTIO_NET_ERR);
		CHECK_INT(net_guest_command(VIRTIO_NET_CTRL_RX, command, mac, 2), VIRTIO_NET_ERR);
		CHECK_INT(net_guest_command(VIRTIO_NET_CTRL_RX, command, &neither, 1),
			  VIRTIO_NET_ERR);
	}
	CHECK_INT(net_guest_command(VIRTIO_NET_CTRL_RX, 2, &on, 1), VIRTIO_NET_ERR);
	CHECK_INT(net_guest_command(VIRTIO_NET_CTRL_VLAN, 0, mac, 2), VIRTIO_NET_ERR);
	CHECK_INT(net_guest_command(VIRTIO_NET_CTRL_MAC, 0, tables, sizeof(tables)), VIRTIO_NET_OK);
	for (uint32_t size = 0; size < sizeof(tables); size++)
		CHECK_INT(net_guest_command(VIRTIO_NET_CTRL_MAC, 0, tables, size), VIRTIO_NET_ERR);
	memset(tables, 0xff, sizeof(tables));
	CHECK_INT(net_guest_command(VIRTIO_NET_CTRL_MAC, 0, tables, sizeof(tables)),
		  VIRTIO_NET_ERR);
	CHECK_INT(net_guest_command(VIRTIO_NET_CTRL_MAC, 1, other, 5), VIRTIO_NET_ERR);
	CHECK_INT(net_guest_command(VIRTIO_NET_CTRL_MAC, 1, group, 6), VIRTIO_NET_ERR);
	driver_config_read(&guest, 0, mac, sizeof(mac));
	CHECK(memcmp(mac, first, sizeof(mac)) == 0);
	CHECK_INT(net_guest_command(VIRTIO_NET_CTRL_MAC, 1, other, 6), VIRTIO_NET_OK);
	driver_config_read(&guest, 0, mac, sizeof(mac));
	CHECK(memcmp(mac, other, sizeof(mac)) == 0);
	/* The next driver has the device's own, and what it did not accept it does not get. */
	net_guest_start(~(BIT(CTRL_RX) | BIT(CTRL_MAC_ADDR)));
	driver_config_read(&guest, 0, mac, sizeof(mac));
	CHECK(memcmp(mac, first, sizeof(mac)) == 0);
	CHECK_INT(net_guest_command(VIRTIO_NET_CTRL_RX, 0, &on, 1), VIRTIO_NET_ERR);
	CHECK_INT(net_guest_command(VIRTIO_NET_CTRL_MAC, 1, other, 6), VIRTIO_NET_ERR);
	done();
}

static const struct test_case cases[] = {
	{ "configuration", test_configuration },
	{ "transmit", test_transmit },
	{ "addresses of nowhere", test_addresses_of_nowhere },
	{ "receive", test_receive },
	{ "too few buffers", test_too_few_buffers },
	{ "without merged buffers", test_one_buffer },
	{ "frames that are dropped", test_bad_frames },
	{ "faults", test_faults },
	{ "partial reads", test_partial_reads },
	{ "partial writes", test_partial_writes },
	{ "the peer hangs up", test_hang_up },
	{ "the cable", test_cable },
	{ "bad lengths", test_bad_lengths },
	{ "reset", test_reset },
	{ "flood", test_flood },
	{ "control queue", test_control },
};

TEST_MAIN(cases)
