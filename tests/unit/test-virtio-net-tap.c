/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device, with a tap at its other end, in a network namespace of the test's own.
 * A packet socket on the tap's interface is the host: what it sends comes to the guest, and
 * it sees what the guest sends, with what the kernel says is left to do (PACKET_VNET_HDR).
 *
 * WITH_VHOST (test-virtio-net-vhost): the kernel moves the frames, by /dev/vhost-net.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
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

#define BIT(feature) (1ULL << VIRTIO_NET_F_##feature)
#define ETHERTYPE 0x88b5 /* of net_fill() */
#define MSS 1000
#define TCP_SIZE (14 + 20 + 20 + 4 * MSS)
#define PATIENCE_NS 20000000000ULL

#ifdef WITH_VHOST
static const bool is_vhost = true;
#else
static const bool is_vhost;
#endif
static int host; /* packet socket; each frame has a struct virtio_net_hdr in front */
static int interface_index;
static uint8_t frame[70000];

static void set_up_interface(const char *name)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	struct ifreq request = { 0 };
	int on = 1;

	host = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(host >= 0);
	(void)snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
	CHECK(ioctl(host, SIOCGIFFLAGS, &request) == 0);
	request.ifr_flags |= IFF_UP;
	CHECK(ioctl(host, SIOCSIFFLAGS, &request) == 0);
	CHECK(ioctl(host, SIOCGIFINDEX, &request) == 0);
	interface_index = address.sll_ifindex = request.ifr_ifindex;
	CHECK(setsockopt(host, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) == 0);
	CHECK(bind(host, (struct sockaddr *)&address, sizeof(address)) == 0);
}

static int open_tap(short flags)
{
	struct ifreq request = { .ifr_name = "tap%d", .ifr_flags = flags };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0);
	if (flags == (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
		set_up_interface(request.ifr_name);
	return fd;
}

static void start(uint64_t features)
{
	struct net_options options = { .backend = NET_TAP, .mac = NET_TEST_MAC };

	net_enter_namespace();
	options.vhost_fd = net_open_vhost(is_vhost);
	options.fd = open_tap(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	net_guest_new(&options, features);
}

static void done(void)
{
	driver_done(&guest);
	(void)close(host);
}

/* ---- the host ---- */

static void host_send(const struct virtio_net_hdr *header, const void *bytes, uint32_t size)
{
	static const struct virtio_net_hdr none;
	struct iovec iov[] = {
		{ .iov_base = (void *)(header ? header : &none), .iov_len = sizeof(none) },
		{ .iov_base = (void *)bytes, .iov_len = size },
	};

	CHECK_INT(writev(host, iov, 2), sizeof(none) + size);
}

/* The next frame that the guest has sent (not the host), of ours. */
static uint32_t host_take(struct virtio_net_hdr *ret_header, void *ret_frame, uint32_t max)
{
	uint64_t end = clock_monotonic_ns() + PATIENCE_NS;

	for (;;) {
		struct iovec iov[] = { { .iov_base = ret_header, .iov_len = sizeof(*ret_header) },
				       { .iov_base = ret_frame, .iov_len = max } };
		struct sockaddr_ll from;
		struct msghdr message = { .msg_name = &from,
					  .msg_namelen = sizeof(from),
					  .msg_iov = iov,
					  .msg_iovlen = 2 };
		ssize_t n = recvmsg(host, &message, 0);

		CHECK(clock_monotonic_ns() < end);
		/* Of what the kernel lets pass in test_bad_headers(), a packet socket cannot tell
		 * everything. */
		CHECK(n > 0 || errno == EAGAIN || (is_vhost && errno == EINVAL));
		if (n < 0)
			loop_step(guest.loop, 1);
		else if (from.sll_pkttype != PACKET_OUTGOING)
			return (uint32_t)n - (uint32_t)sizeof(*ret_header);
	}
}

/* What of the guest's is none of the test's: the kernel's own frames for IPv6. */
static uint32_t guest_take(struct virtio_net_hdr_v1 *ret_header, uint8_t *ret_frame, uint32_t max)
{
	for (;;) {
		uint32_t size = net_guest_take(ret_header, ret_frame, max);

		if (ret_frame[12] != 0x86 || ret_frame[13] != 0xdd)
			return size;
	}
}

/* An IPv4 packet with TCP of four segments. */
static void fill_tcp(uint8_t *bytes)
{
	static const uint8_t ip[] = { 0x45,
				      0,
				      (TCP_SIZE - 14) >> 8,
				      (TCP_SIZE - 14) & 0xff,
				      0,
				      1,
				      0x40,
				      0,
				      64,
				      6,
				      0,
				      0,
				      10,
				      0,
				      0,
				      1,
				      10,
				      0,
				      0,
				      2 };
	uint32_t sum = 0;

	net_fill(bytes, TCP_SIZE, 1);
	bytes[12] = 8;
	bytes[13] = 0;
	memcpy(bytes + 14, ip, sizeof(ip));
	for (size_t i = 0; i < sizeof(ip); i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	bytes[24] = (uint8_t)(~sum >> 8);
	bytes[25] = (uint8_t)~sum;
	memset(bytes + 34, 0, 20);
	bytes[46] = 5 << 4; /* data offset */
	bytes[47] = 0x10;   /* ACK */
}

static const struct virtio_net_hdr segmented = {
	.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
	.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
	.hdr_len = 54,
	.gso_size = MSS,
	.csum_start = 34,
	.csum_offset = 16,
};

static struct virtio_net_hdr_v1 for_guest(const struct virtio_net_hdr *header)
{
	struct virtio_net_hdr_v1 copy = { 0 };

	memcpy(&copy, header, sizeof(*header));
	return copy;
}

/* ---- tests ---- */

static void test_frames(void)
{
	struct virtio_net_hdr_v1 header, plain = { .num_buffers = htole16(1) };
	struct virtio_net_hdr seen;
	static uint8_t got[70000];

	start(~0ULL);
	CHECK_INT(net_guest_status(), VIRTIO_NET_S_LINK_UP);
	CHECK(guest.device->features & BIT(HOST_TSO4));
	for (unsigned i = 0; i < 300; i++) {
		net_fill(frame, 60 + i, i);
		net_guest_sent(net_guest_send(NULL, frame, 60 + i));
		CHECK_INT(host_take(&seen, got, sizeof(got)), 60 + i);
		net_check(got, 60 + i, i);
	}
	net_guest_give(128, 1024);
	for (unsigned i = 0; i < 100; i++) {
		net_fill(frame, 60 + i, i);
		host_send(NULL, frame, 60 + i);
		CHECK_INT(guest_take(&header, got, sizeof(got)), 60 + i);
		net_check(got, 60 + i, i);
		CHECK(memcmp(&header, &plain, sizeof(header)) == 0);
	}
	/* Without buffers it waits in the tap. */
	net_guest_start(~0ULL);
	net_fill(frame, 1500, 7);
	host_send(NULL, frame, 1500);
	net_guest_expect_none();
	net_guest_give(1, 1024);
	net_guest_expect_none();
	net_guest_give(64, 1024);
	CHECK_INT(guest_take(&header, got, sizeof(got)), 1500);
	CHECK_INT(le16toh(header.num_buffers), 2);
	net_check(got, 1500, 7);
	done();
}

static void raise_mtu(void)
{
	struct ifreq request = { .ifr_ifindex = interface_index };

	CHECK(ioctl(host, SIOCGIFNAME, &request) == 0);
	request.ifr_mtu = 65521;
	CHECK(ioctl(host, SIOCSIFMTU, &request) == 0);
}

static void expect_large(uint32_t size, unsigned seed)
{
	struct virtio_net_hdr_v1 header;
	static uint8_t got[70000];

	CHECK_INT(guest_take(&header, got, sizeof(got)), size);
	net_check(got, size, seed);
	CHECK_INT(header.flags, 0);
}

/* Of any size behind any other, in buffers of any size, few or many. */
static void test_large_frames(void)
{
	static const uint32_t sizes[] = { 60000, 65535, 60, 61, 65535, 9000, 100, 65535 };
	static const uint32_t buffers[] = { 2048, 4096, 13, 70000 };

	start(~0ULL);
	raise_mtu();
	for (size_t b = 0; b < ARRAY_SIZE(buffers); b++) {
		const unsigned n = MIN(200U, 4000000U / buffers[b]);

		net_guest_start(~0ULL);
		for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
			/* Of the smallest, a queue full takes no large frame. */
			const uint32_t size = buffers[b] == 13 ? 60 + sizes[i] % 600 : sizes[i];

			if (i == 0 || i == 4)
				net_guest_give(i == 0 ? n : n / 4, buffers[b]);
			net_fill(frame, size, i);
			host_send(NULL, frame, size);
			expect_large(size, i);
		}
	}
	/* Room for one of its size, not for any. */
	net_guest_start(~0ULL);
	net_guest_give(100, 1024);
	net_fill(frame, 65535, 1);
	host_send(NULL, frame, 65535);
	expect_large(65535, 1);
	net_fill(frame, 30000, 2);
	host_send(NULL, frame, 30000);
	expect_large(30000, 2);
	net_fill(frame, 20000, 3);
	host_send(NULL, frame, 20000);
	net_guest_expect_none();
	net_guest_give(20, 1024);
	expect_large(20000, 3);
	done();
}

static void test_segmentation(void)
{
	const struct virtio_net_hdr_v1 sent = for_guest(&segmented);
	struct virtio_net_hdr_v1 header;
	struct virtio_net_hdr seen;
	static uint8_t got[70000];

	start(~0ULL);
	fill_tcp(frame);
	net_guest_sent(net_guest_send(&sent, frame, TCP_SIZE));
	CHECK_INT(host_take(&seen, got, sizeof(got)), TCP_SIZE);
	CHECK_INT(seen.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	CHECK_INT(seen.gso_size, MSS);
	CHECK_INT(seen.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	CHECK(memcmp(got, frame, TCP_SIZE) == 0);
	/* The other way it comes whole as well, … */
	net_guest_give(64, 1024);
	host_send(&segmented, frame, TCP_SIZE);
	CHECK_INT(guest_take(&header, got, sizeof(got)), TCP_SIZE);
	CHECK_INT(header.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	CHECK_INT(le16toh(header.gso_size), MSS);
	CHECK_INT(header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	CHECK_INT(le16toh(header.csum_start), 34);
	CHECK_INT(le16toh(header.csum_offset), 16);
	CHECK(memcmp(got, frame, TCP_SIZE) == 0);
	/* … but to a driver that has to have it so in segments. */
	net_guest_start(~(BIT(GUEST_TSO4) | BIT(GUEST_TSO6) | BIT(GUEST_ECN) | BIT(GUEST_CSUM)));
	net_guest_give(64, 2048);
	host_send(&segmented, frame, TCP_SIZE);
	for (unsigned i = 0; i < 4; i++) {
		CHECK_INT(guest_take(&header, got, sizeof(got)), 54 + MSS);
		CHECK_INT(header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		CHECK_INT(header.flags, 0);
		CHECK(memcmp(got + 54, frame + 54 + (size_t)i * MSS, MSS) == 0);
		CHECK(got[50] != 0 || got[51] != 0); /* the checksum */
	}
	done();
}

static void test_bad_headers(void)
{
	static const struct virtio_net_hdr bad[] = {
		{ .flags = 1, .csum_start = 59, .csum_offset = 0 },
		{ .flags = 1, .csum_start = 0xffff, .csum_offset = 0xffff },
		{ .gso_type = 1, .hdr_len = 54, .gso_size = MSS },
		{ .flags = 1, .gso_type = 1, .hdr_len = 54, .gso_size = 0, .csum_start = 34 },
		{ .flags = 1, .gso_type = 1, .hdr_len = 61, .gso_size = 1, .csum_start = 34 },
		{ .flags = 1, .gso_type = 3, .hdr_len = 54, .gso_size = 9, .csum_start = 34 },
		{ .flags = 1, .gso_type = 0x80, .hdr_len = 54, .gso_size = 9, .csum_start = 34 },
	};
	const struct virtio_net_hdr_v1 sum = { .flags = 1, .csum_start = 34, .csum_offset = 16 };
	struct virtio_net_hdr_v1 header = for_guest(&segmented);
	struct virtio_net_hdr seen;
	static uint8_t got[70000];

	start(~0ULL);
	net_fill(frame, 60, 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct virtio_net_hdr_v1 copy = for_guest(&bad[i]);

		net_guest_sent(net_guest_send(&copy, frame, 60));
	}
	/* What the tap itself refuses is lost just so. */
	header.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	net_guest_sent(net_guest_send(&header, frame, 60));
	net_guest_start(~BIT(HOST_ECN));
	net_guest_sent(net_guest_send(&header, frame, 60));
	net_fill(frame, 60, 2);
	net_guest_sent(net_guest_send(&sum, frame, 60));
	do
		CHECK_INT(host_take(&seen, got, sizeof(got)), 60);
	while (memcmp(got + 54, frame + 54, 6) != 0);
	CHECK_INT(seen.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	CHECK_INT(seen.csum_start, 34);
	CHECK_INT(seen.csum_offset, 16);
	done();
}

#define UDP_SIZE (14 + 20 + 8 + 3 * MSS)

static const struct virtio_net_hdr datagrams = {
	.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
	.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4,
	.hdr_len = 42,
	.gso_size = MSS,
	.csum_start = 34,
	.csum_offset = 6,
};

/* An IPv4 packet with UDP of three datagrams. */
static void fill_udp(uint8_t *bytes)
{
	fill_tcp(bytes);
	bytes[16] = (UDP_SIZE - 14) >> 8;
	bytes[17] = (UDP_SIZE - 14) & 0xff;
	bytes[23] = IPPROTO_UDP;
	memset(bytes + 24, 0, 2);
	memset(bytes + 34, 1, 8);
	bytes[38] = (UDP_SIZE - 34) >> 8;
	bytes[39] = (UDP_SIZE - 34) & 0xff;
	memset(bytes + 40, 0, 2);
}

/* As for TCP, where the kernel's tap knows it (Linux 6.2). */
static void test_udp_segmentation(void)
{
	const struct virtio_net_hdr_v1 sent = for_guest(&datagrams);
	struct virtio_net_hdr_v1 header;
	struct virtio_net_hdr seen;
	static uint8_t got[70000];

	start(~0ULL);
	if (!(guest.device->features & BIT(HOST_USO)))
		test_skip("the tap has no UDP segmentation");
	fill_udp(frame);
	net_guest_sent(net_guest_send(&sent, frame, UDP_SIZE));
	CHECK_INT(host_take(&seen, got, sizeof(got)), UDP_SIZE);
	CHECK_INT(seen.gso_type, VIRTIO_NET_HDR_GSO_UDP_L4);
	CHECK_INT(seen.gso_size, MSS);
	net_guest_give(64, 1024);
	host_send(&datagrams, frame, UDP_SIZE);
	CHECK_INT(guest_take(&header, got, sizeof(got)), UDP_SIZE);
	CHECK_INT(header.gso_type, VIRTIO_NET_HDR_GSO_UDP_L4);
	CHECK_INT(le16toh(header.gso_size), MSS);
	/* A driver that takes one family's alone gets segments. */
	net_guest_start(~BIT(GUEST_USO6));
	net_guest_give(64, 2048);
	host_send(&datagrams, frame, UDP_SIZE);
	for (unsigned i = 0; i < 3; i++) {
		CHECK_INT(guest_take(&header, got, sizeof(got)), 42 + MSS);
		CHECK_INT(header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	}
	done();
}

/* The tap has what the last driver took; the next did not take it. */
static void test_reset(void)
{
	struct virtio_net_hdr_v1 header;
	static uint8_t got[70000];

	start(~0ULL);
	net_fill(frame, 70, 1);
	host_send(NULL, frame, 70);
	net_guest_give(1, 16);
	net_guest_expect_none();
	fill_tcp(frame);
	host_send(&segmented, frame, TCP_SIZE);
	driver_reset(&guest);
	net_guest_steps();
	net_guest_start(~(BIT(GUEST_TSO4) | BIT(GUEST_TSO6) | BIT(GUEST_ECN)));
	net_guest_give(64, 2048);
	net_fill(frame, 80, 2);
	host_send(NULL, frame, 80);
	CHECK_INT(guest_take(&header, got, sizeof(got)), 80);
	net_check(got, 80, 2);
	done();
}

static void remove_interface(void)
{
	const struct {
		struct nlmsghdr header;
		struct ifinfomsg interface;
	} message = { { .nlmsg_len = sizeof(message),
			.nlmsg_type = RTM_DELLINK,
			.nlmsg_flags = NLM_F_REQUEST },
		      { .ifi_index = interface_index } };
	int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	CHECK(send(netlink, &message, sizeof(message), 0) == sizeof(message));
	(void)close(netlink);
}

#ifdef WITH_VHOST
/* An interface that goes away takes the link with it, as soon as a frame is for it.  It breaks
 * no device, for it is nothing that a driver did; a driver that starts anew finds no link. */
static void test_gone(void)
{
	uint64_t end = clock_monotonic_ns() + PATIENCE_NS;

	start(~0ULL);
	net_fill(frame, 60, 1);
	remove_interface();
	(void)net_guest_send(NULL, frame, 60);
	while (net_guest_status() & VIRTIO_NET_S_LINK_UP) {
		CHECK(clock_monotonic_ns() < end);
		loop_step(guest.loop, 10);
	}
	CHECK_INT(driver_read(&guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	net_guest_start(~0ULL);
	(void)net_guest_send(NULL, frame, 60);
	net_guest_steps();
	CHECK_INT(driver_read(&guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	done();
}

/* And where no frame was for it. */
static void test_gone_unseen(void)
{
	start(~0ULL);
	driver_reset(&guest);
	remove_interface();
	net_guest_start(~0ULL);
	net_guest_steps();
	CHECK_INT(driver_read(&guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	done();
}
#else
/* An interface that goes away takes the link with it. */
static void test_gone(void)
{
	uint64_t end = clock_monotonic_ns() + PATIENCE_NS;
	struct ifreq request = { 0 };

	start(~0ULL);
	/* Down is not gone. */
	request.ifr_ifindex = interface_index;
	CHECK(ioctl(host, SIOCGIFNAME, &request) == 0);
	request.ifr_flags = 0;
	CHECK(ioctl(host, SIOCSIFFLAGS, &request) == 0);
	net_fill(frame, 60, 1);
	net_guest_sent(net_guest_send(NULL, frame, 60));
	net_guest_give(1, 2048);
	net_guest_steps();
	CHECK_INT(net_guest_status(), VIRTIO_NET_S_LINK_UP);
	remove_interface();
	while (net_guest_status() & VIRTIO_NET_S_LINK_UP) {
		CHECK(clock_monotonic_ns() < end);
		loop_step(guest.loop, 10);
	}
	net_guest_sent(net_guest_send(NULL, frame, 60));
	done();
}
#endif

static void test_refused(void)
{
	struct net_options options = { .vhost_fd = -1, .backend = NET_TAP, .mac = NET_TEST_MAC };
	struct virtio_device *device;
	struct error *error = NULL;

	net_enter_namespace();
	options.fd = open_tap(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR);
	CHECK_ERROR(net_new(&options, &device, &error), &error, "is not a tap with");
	options.fd = open_tap(IFF_TAP | IFF_NO_PI);
	CHECK_ERROR(net_new(&options, &device, &error), &error, "is not a tap with");
	options.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK_ERROR(net_new(&options, &device, &error), &error, "TUNGETIFF");
	CHECK(fcntl(options.fd, F_GETFD) < 0);
	options.fd = open_tap(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	options.vhost_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK_ERROR(net_new(&options, &device, &error), &error, "is it /dev/vhost-net?");
	CHECK(fcntl(options.fd, F_GETFD) < 0 && fcntl(options.vhost_fd, F_GETFD) < 0);
}

#ifdef WITH_VHOST
/* What the kernel has done shows in the queues' own state, and it goes on there. */
static void test_pause(void)
{
	struct virtio_net_hdr_v1 header;
	struct virtio_mmio_state state;
	struct buffer own = { 0 };
	struct error *error = NULL;
	struct virtio_net_hdr seen;
	static uint8_t got[70000];
	uint16_t head;

	start(~0ULL);
	net_guest_give(64, 2048);
	for (unsigned i = 0; i < 10; i++) {
		net_fill(frame, 70, i);
		net_guest_sent(net_guest_send(NULL, frame, 70));
		CHECK_INT(host_take(&seen, got, sizeof(got)), 70);
		host_send(NULL, frame, 70);
		CHECK_INT(guest_take(&header, got, sizeof(got)), 70);
	}
	virtio_mmio_pause(guest.mmio);
	CHECK_OK(virtio_mmio_save(guest.mmio, &state, &own, &error), &error);
	buffer_done(&own);
	CHECK(state.queues[NET_RECEIVE].next_avail >= 10);
	CHECK(state.queues[NET_TRANSMIT].next_avail == 10);
	net_fill(frame, 80, 1);
	head = net_guest_send(NULL, frame, 80);
	host_send(NULL, frame, 80);
	net_guest_expect_none();
	CHECK_INT(guest.rings[NET_TRANSMIT].used->idx, 10);
	virtio_mmio_resume(guest.mmio);
	net_guest_sent(head);
	CHECK_INT(host_take(&seen, got, sizeof(got)), 80);
	CHECK_INT(guest_take(&header, got, sizeof(got)), 80);
	net_check(got, 80, 1);
	done();
}

/* What the kernel refuses breaks the device until its driver starts anew; it serves nothing
 * meanwhile. */
static void test_hostile(void)
{
	const struct driver_buffer outside = { 1ULL << 40, 64 }, wrong = { net_page, 64 };
	struct virtio_net_hdr seen;
	static uint8_t got[70000];

	start(~0ULL);
	CHECK(ring_add(&guest.rings[NET_TRANSMIT], &outside, 1, 0) >= 0);
	driver_notify(&guest, NET_TRANSMIT);
	driver_expect_needs_reset(&guest);
	net_fill(frame, 60, 1);
	(void)net_guest_send(NULL, frame, 60);
	net_guest_steps();
	CHECK_INT(guest.rings[NET_TRANSMIT].used->idx, 0);
	net_guest_start(~0ULL);
	CHECK(ring_add(&guest.rings[NET_TRANSMIT], &wrong, 0, 1) >= 0);
	driver_notify(&guest, NET_TRANSMIT);
	driver_expect_needs_reset(&guest);
	net_guest_start(~0ULL);
	guest.rings[NET_RECEIVE].avail->idx = 1000;
	driver_notify(&guest, NET_RECEIVE);
	host_send(NULL, frame, 60);
	driver_expect_needs_reset(&guest);
	/* Nor does it serve a driver that broke another rule. */
	net_guest_start(~0ULL);
	driver_write(&guest, VIRTIO_MMIO_QUEUE_NOTIFY, 77);
	driver_expect_needs_reset(&guest);
	net_guest_steps();
	(void)net_guest_send(NULL, frame, 60);
	net_guest_steps();
	CHECK_INT(guest.rings[NET_TRANSMIT].used->idx, 0);
	net_guest_start(~0ULL);
	net_guest_sent(net_guest_send(NULL, frame, 60));
	CHECK_INT(host_take(&seen, got, sizeof(got)), 60);
	net_check(got, 60, 1);
	done();
}
#endif

static const struct test_case cases[] = {
	{ "frames", test_frames },
	{ "large frames", test_large_frames },
	{ "segmentation and checksums", test_segmentation },
	{ "segmentation of UDP", test_udp_segmentation },
	{ "frames that are dropped", test_bad_headers },
	{ "reset", test_reset },
	{ "refused descriptors", test_refused },
	{ "the interface goes away", test_gone },
#ifdef WITH_VHOST
	{ "the interface goes away unseen", test_gone_unseen },
	{ "pause", test_pause },
	{ "hostile drivers", test_hostile },
#endif
};

TEST_MAIN(cases)
