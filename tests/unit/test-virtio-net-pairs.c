/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device with several pairs of queues, and a tap of as many at their other end, in a
 * network namespace of the test's own.  A packet socket on the tap's interface is the host.
 *
 * WITH_VHOST_USER (test-vhost-net-pairs): the front-end turns pairs on and off, for it has the
 * control queue.  WITH_VHOST (test-virtio-net-pairs-vhost): the kernel moves the frames, by
 * /dev/vhost-net.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/io.h"
#include "tests/unit/net-guest.h"
#include "tests/unit/test.h"
#include "virtio/net-link.h"
#ifdef WITH_VHOST_USER
#include "tests/unit/vhost-frontend.h"
#endif

#define PAIRS 3
#define MQ (1ULL << VIRTIO_NET_F_MQ)
#define FLOWS 8
#define FRAME_SIZE 100
#define PATIENCE_NS 20000000000ULL

#ifdef WITH_VHOST
static const bool is_vhost = true;
#else
static const bool is_vhost;
#endif
static int host; /* packet socket */

/* ---- the tap ---- */

static void set_up_interface(const char *name)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	struct ifreq request = { 0 };

	host = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(host >= 0);
	(void)snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
	CHECK(ioctl(host, SIOCGIFFLAGS, &request) == 0);
	request.ifr_flags |= IFF_UP;
	CHECK(ioctl(host, SIOCSIFFLAGS, &request) == 0);
	CHECK(ioctl(host, SIOCGIFINDEX, &request) == 0);
	address.sll_ifindex = request.ifr_ifindex;
	CHECK(bind(host, (struct sockaddr *)&address, sizeof(address)) == 0);
}

static int open_queue(const char *name, short flags)
{
	struct ifreq request = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags) };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	(void)snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
	CHECK(fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0);
	return fd;
}

static struct net_options new_options(const char *name)
{
	struct net_options options = { .backend = NET_TAP,
				       .mac = NET_TEST_MAC,
				       .n_more = PAIRS - 1 };

	options.vhost_fd = net_open_vhost(is_vhost);
	options.fd = open_queue(name, IFF_MULTI_QUEUE);
	set_up_interface(name);
	for (unsigned i = 0; i < options.n_more; i++) {
		options.more_fds[i] = open_queue(name, IFF_MULTI_QUEUE);
		options.more_vhost_fds[i] = net_open_vhost(is_vhost);
	}
	return options;
}

/* ---- the driver ---- */

/* true: they are on. */
static bool set_pairs(unsigned n)
{
#ifdef WITH_VHOST_USER
	for (unsigned queue = 0; queue < 2 * PAIRS; queue++)
		CHECK_INT(frontend_ask_state(&guest, VHOST_SET_VRING_ENABLE, queue, queue / 2 < n),
			  0);
	return true;
#else
	const struct virtio_net_ctrl_mq wanted = { htole16((uint16_t)n) };

	return net_guest_command(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &wanted,
				 sizeof(wanted)) == VIRTIO_NET_OK;
#endif
}

static void give_all(void)
{
	for (unsigned pair = 0; pair < PAIRS; pair++) {
		net_guest_use(pair);
		net_guest_give(64, 2048);
	}
}

static void start(void)
{
	struct net_options options;

	net_enter_namespace();
	options = new_options("tap0");
	net_guest_new(&options, ~0ULL);
#ifdef WITH_VHOST_USER
	CHECK(set_pairs(1));
#endif
	give_all();
}

static void done(void)
{
	driver_done(&guest);
	(void)close(host);
}

/* ---- frames ---- */

/* A datagram of one flow, from the guest or to it: which of its queues gets what comes, the kernel
 * tells by addresses and ports. */
static void fill_flow(uint8_t *frame, unsigned flow, bool from_guest, uint8_t seed)
{
	static const uint8_t head[] = { 0x08, 0, 0x45, 0, 0,  FRAME_SIZE - 14,
					0,    1, 0x40, 0, 64, 17,
					0,    0, 10,   0, 0,  1,
					10,   0, 0,    2 };
	uint8_t *ports = frame + 34;

	memset(frame, seed, FRAME_SIZE);
	memset(frame, 2, 12);
	frame[from_guest ? 5 : 11] = 1;
	memcpy(frame + 12, head, sizeof(head));
	frame[29] = from_guest ? 1 : 2;
	frame[33] = from_guest ? 2 : 1;
	ports[0] = ports[2] = 0x40;
	ports[1] = (uint8_t)(from_guest ? flow : 0xff);
	ports[3] = (uint8_t)(from_guest ? 0xff : flow);
	ports[4] = 0;
	ports[5] = FRAME_SIZE - 34;
	ports[6] = ports[7] = 0;
}

static uint16_t send_flow(unsigned pair, unsigned flow, uint8_t seed)
{
	uint8_t frame[FRAME_SIZE];

	fill_flow(frame, flow, true, seed);
	net_guest_use(pair);
	return net_guest_send(NULL, frame, FRAME_SIZE);
}

static void host_expect(unsigned flow, uint8_t seed)
{
	const uint64_t end = clock_monotonic_ns() + PATIENCE_NS;
	uint8_t frame[FRAME_SIZE], got[2048];
	struct sockaddr_ll from = { 0 };
	socklen_t size = sizeof(from);
	ssize_t n = -1;

	fill_flow(frame, flow, true, seed);
	while (n < 0 || from.sll_pkttype == PACKET_OUTGOING) {
		n = recvfrom(host, got, sizeof(got), 0, (struct sockaddr *)&from, &size);
		CHECK(clock_monotonic_ns() < end);
		if (n < 0)
			loop_step(guest.loop, 1);
	}
	CHECK_INT(n, FRAME_SIZE);
	CHECK(memcmp(got, frame, FRAME_SIZE) == 0);
}

static void host_expect_none(void)
{
	struct sockaddr_ll from;
	socklen_t size = sizeof(from);
	uint8_t got[2048];

	net_guest_steps();
	while (recvfrom(host, got, sizeof(got), 0, (struct sockaddr *)&from, &size) >= 0)
		CHECK_INT(from.sll_pkttype, PACKET_OUTGOING);
}

/* Which pair gets it. */
static void host_send(unsigned flow, uint8_t seed)
{
	uint8_t frame[FRAME_SIZE];

	fill_flow(frame, flow, false, seed);
	CHECK_INT(send(host, frame, FRAME_SIZE, 0), FRAME_SIZE);
}

static void expect_at(unsigned pair, unsigned flow, uint8_t seed)
{
	uint8_t frame[FRAME_SIZE], got[2048];
	struct virtio_net_hdr_v1 header;

	fill_flow(frame, flow, false, seed);
	net_guest_use(pair);
	CHECK_INT(net_guest_take(&header, got, sizeof(got)), FRAME_SIZE);
	CHECK(memcmp(got, frame, FRAME_SIZE) == 0);
}

/* Each flow comes where it is sent from: §5.1.6.5.6. */
static void check_steering(unsigned n)
{
	for (unsigned flow = 0; flow < FLOWS; flow++) {
		const unsigned pair = flow % n;

		net_guest_use(pair);
		net_guest_sent(send_flow(pair, flow, (uint8_t)n));
		host_expect(flow, (uint8_t)n);
		host_send(flow, (uint8_t)flow);
		expect_at(pair, flow, (uint8_t)flow);
	}
}

/* ---- tests ---- */

static void test_steering(void)
{
	uint16_t pairs, head;

	start();
	driver_config_read(&guest, offsetof(struct virtio_net_config, max_virtqueue_pairs), &pairs,
			   sizeof(pairs));
	CHECK_INT(le16toh(pairs), PAIRS);
	CHECK(guest.device->features & MQ);
	CHECK_INT(guest.device->n_queues, 2 * PAIRS + 1);
	check_steering(1);
	/* What is in the queue of a pair that is off stays there, … */
	head = send_flow(1, 1, 7);
	host_expect_none();
	/* … until it is on. */
	CHECK(set_pairs(3));
	net_guest_use(1);
	net_guest_sent(head);
	host_expect(1, 7);
	check_steering(3);
	CHECK(set_pairs(2));
	check_steering(2);
	/* Nothing is left for one that is off. */
	CHECK(set_pairs(1));
	for (unsigned flow = 0; flow < FLOWS; flow++)
		host_send(flow, 9);
	for (unsigned flow = 0; flow < FLOWS; flow++)
		expect_at(0, flow, 9);
	check_steering(1);
	CHECK(set_pairs(2));
	check_steering(2);
	done();
}

/* A driver starts with one pair, whatever the last one had; one without MQ has no more. */
static void test_reset(void)
{
	const uint64_t features[] = { ~0ULL, ~MQ };

	start();
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(features); i++) {
		if (guest.device->driver_features & MQ)
			CHECK(set_pairs(3));
		net_guest_start(features[i / 2]);
#ifdef WITH_VHOST_USER
		CHECK(set_pairs(1));
#endif
		net_guest_give(64, 2048);
		check_steering(1);
		if (features[i / 2] & MQ) {
			net_guest_use(1);
			net_guest_give(64, 2048);
			CHECK(set_pairs(2));
			check_steering(2);
		}
	}
	done();
}

#ifndef WITH_VHOST_USER
static void test_hostile(void)
{
	static const struct {
		uint8_t class, command;
		uint8_t bytes[3];
		uint32_t size;
	} bad[] = {
		{ VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, { 0, 0 }, 2 },
		{ VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, { PAIRS + 1, 0 }, 2 },
		{ VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, { 0, 0x80 }, 2 },
		{ VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, { 0xff, 0xff }, 2 },
		{ VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, { 2, 0 }, 1 },
		{ VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, { 2, 0, 0 }, 3 },
		{ VIRTIO_NET_CTRL_MQ, 1, { 2, 0 }, 2 },
	};
	const uint8_t two[] = { 2, 0 };

	start();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_INT(
		    net_guest_command(bad[i].class, bad[i].command, bad[i].bytes, bad[i].size),
		    VIRTIO_NET_ERR);
	check_steering(1);
	/* A pair whose queues were taken back is turned on: it does nothing. */
	driver_stop_queue(&guest, 2);
	driver_stop_queue(&guest, 3);
	CHECK(set_pairs(3));
	driver_notify(&guest, 2);
	driver_notify(&guest, 3);
	net_guest_steps();
	CHECK(!driver_needs_reset(&guest));
	CHECK(set_pairs(1));
	check_steering(1);
	/* Not a command of a driver that has not agreed to it; its queues that mean nothing are
	 * kicked. */
	net_guest_start(~MQ);
	net_guest_give(64, 2048);
	CHECK_INT(net_guest_command(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, two,
				    sizeof(two)),
		  VIRTIO_NET_ERR);
	for (unsigned queue = 3; queue < guest.device->n_queues; queue++)
		driver_notify(&guest, queue);
	net_guest_steps();
	CHECK(!driver_needs_reset(&guest));
	check_steering(1);
	done();
}

/* A broken rule in any pair breaks the device. */
static void test_fault(void)
{
	const struct driver_buffer outside = { 1ULL << 40, 64 };

	start();
	CHECK(set_pairs(3));
	CHECK(ring_add(&guest.rings[5], &outside, 1, 0) >= 0);
	driver_notify(&guest, 5);
	driver_expect_needs_reset(&guest);
	net_guest_start(~0ULL);
	net_guest_give(64, 2048);
	check_steering(1);
	done();
}

static struct virtio_device *new_device(const char *name)
{
	const struct net_options options = new_options(name);
	struct virtio_device *device;
	struct error *error = NULL;

	(void)close(host);
	set_up_interface(name);
	CHECK_OK(net_new(&options, &device, &error), &error);
	return device;
}

/* It goes on with the pairs that it had. */
static void test_state(void)
{
	static const uint8_t impossible[] = { 0, PAIRS + 1 };
	struct driver_state state;
	struct error *error = NULL;
	uint8_t *pairs;

	start();
	CHECK(set_pairs(2));
	check_steering(2);
	driver_save(&guest, &state);
	CHECK_OK(driver_load(&guest, new_device("tap1"), &state, &error), &error);
	check_steering(2);
	CHECK(set_pairs(3));
	check_steering(3);
	pairs = buffer_data(&state.own) + buffer_length(&state.own) - sizeof(uint16_t);
	for (size_t i = 0; i < ARRAY_SIZE(impossible); i++) {
		pairs[0] = impossible[i];
		CHECK_ERROR(driver_load(&guest, new_device("tap2"), &state, &error), &error,
			    "pairs of queues");
	}
	/* Nor has one more than one without the feature. */
	pairs[0] = 2;
	state.transport.driver_features &= ~MQ;
	CHECK_ERROR(driver_load(&guest, new_device("tap2"), &state, &error), &error,
		    "it had 2 pairs of queues on");
	buffer_done(&state.own);
	done();
}

static void test_refused(void)
{
	struct net_options options = {
		.vhost_fd = -1, .backend = NET_TAP, .mac = NET_TEST_MAC, .n_more = 1
	};
	struct virtio_device *device;
	struct error *error = NULL;

	net_enter_namespace();
	options.fd = open_queue("tap0", 0);
	options.more_fds[0] = open_queue("tap1", 0);
	options.more_vhost_fds[0] = -1;
	CHECK_ERROR(net_new(&options, &device, &error), &error, "TUNSETQUEUE");
	CHECK(fcntl(options.fd, F_GETFD) < 0 && fcntl(options.more_fds[0], F_GETFD) < 0);
}
#endif

static const struct test_case cases[] = {
	{ "automatic receive steering", test_steering },
	{ "one pair after a reset", test_reset },
#ifndef WITH_VHOST_USER
	{ "hostile commands", test_hostile },
	{ "fault", test_fault },
	{ "saved and loaded", test_state },
	{ "refused descriptors", test_refused },
#endif
};

TEST_MAIN(cases)
