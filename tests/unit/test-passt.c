/* SPDX-License-Identifier: Apache-2.0 */
/* passt itself, in a network namespace of the test's own, from the guest's side of it. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/paths.h"
#include "host/passt.h"
#include "tests/unit/test.h"

#define FRAME_MAX 65536
#define HOST_ADDRESS "192.0.2.77"
#define HOST_ADDRESS6 "2001:db8::77"

static const uint8_t guest_address[ETH_ALEN] = PASST_GUEST_HARDWARE_ADDRESS;

static void run(const char *command)
{
	if (system(command) != 0)
		test_fail(__FILE__, __LINE__, "%s", command);
}

static void add_route(void)
{
	run("ip route add default via 192.0.2.1 dev up0");
}

/* A host with one interface; what passt leaves becomes a child of the test. */
static void host_init(void)
{
	_cleanup_free_ char *passt = paths_search("passt"), *ip = paths_search("ip");

	if (!passt || !ip)
		test_skip("passt and ip are needed (packages passt, iproute2)");
	if (unshare(CLONE_NEWNET) < 0)
		test_skip("no network namespace can be made here");
	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0);
	if (system("ip link add up0 type veth peer name far0 2>/dev/null") != 0)
		test_skip("no veth interface can be made here");
	run("ip link set lo up && ip link set far0 up && ip link set up0 up");
	run("ip address add " HOST_ADDRESS "/24 dev up0");
}

/* All that was started has ended. */
static void check_nothing_left(void)
{
	int tries = 500, status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) >= 0 && tries-- > 0)
		if (pid == 0)
			(void)usleep(10000);
	CHECK(pid < 0 && errno == ECHILD);
}

/* Closes the socket, and what was started ends: seen as its reaper. */
static void check_end(int frames)
{
	CHECK(waitpid(-1, NULL, WNOHANG) == 0);
	CHECK(close(frames) == 0);
	check_nothing_left();
}

static int start(const char *const *publish, size_t n, int *ret_frames, struct error **ret_error)
{
	_cleanup_network_options_ struct network_options network = { 0 };
	struct passt_options options = { 0 };

	CHECK_OK(network_options_read("passt", publish, n, &network, ret_error), ret_error);
	options.published = network.published;
	options.n_published = network.n_published;
	return passt_start(&options, ret_frames, ret_error);
}

static void send_frame(int frames, const void *frame, uint32_t size)
{
	uint32_t header = htonl(size);
	const struct iovec parts[] = { { &header, sizeof(header) }, { (void *)frame, size } };

	/* In one call: see passt.h. */
	CHECK(writev(frames, parts, 2) == (ssize_t)(sizeof(header) + size));
}

/* 0: nothing came. */
static size_t receive_frame(int frames, uint8_t *frame)
{
	struct pollfd ready = { .fd = frames, .events = POLLIN };
	uint32_t size;

	if (poll(&ready, 1, 3000) <= 0)
		return 0;
	CHECK(read_all(frames, &size, sizeof(size)) == sizeof(size));
	size = ntohl(size);
	CHECK(size >= sizeof(struct ether_header) && size <= FRAME_MAX);
	CHECK(read_all(frames, frame, size) == (ssize_t)size);
	return size;
}

static void ask_arp(int frames, const char *address)
{
	struct {
		struct ether_header ether;
		struct ether_arp arp;
	} __attribute__((packed)) frame = { .ether.ether_type = htons(ETHERTYPE_ARP) };

	memset(frame.ether.ether_dhost, 0xff, ETH_ALEN);
	memcpy(frame.ether.ether_shost, guest_address, ETH_ALEN);
	frame.arp.arp_hrd = htons(ARPHRD_ETHER);
	frame.arp.arp_pro = htons(ETHERTYPE_IP);
	frame.arp.arp_hln = ETH_ALEN;
	frame.arp.arp_pln = 4;
	frame.arp.arp_op = htons(ARPOP_REQUEST);
	memcpy(frame.arp.arp_sha, guest_address, ETH_ALEN);
	CHECK(inet_pton(AF_INET, PASST_GUEST_ADDRESS, frame.arp.arp_spa) == 1);
	CHECK(inet_pton(AF_INET, address, frame.arp.arp_tpa) == 1);
	send_frame(frames, &frame, sizeof(frame));
}

/* The hardware address of this one, as passt has it. */
static void check_arp(int frames, const char *address)
{
	uint8_t frame[FRAME_MAX], wanted[4];
	const struct ether_arp *arp =
	    (const struct ether_arp *)(frame + sizeof(struct ether_header));
	const uint8_t *a = arp->arp_sha;
	_cleanup_free_ char *text = NULL;
	size_t size;

	ask_arp(frames, address);
	do {
		size = receive_frame(frames, frame);
		CHECK(size > 0);
	} while (frame[12] != ETHERTYPE_ARP >> 8 || frame[13] != (ETHERTYPE_ARP & 0xff));
	CHECK_INT(ntohs(arp->arp_op), ARPOP_REPLY);
	CHECK(inet_pton(AF_INET, address, wanted) == 1);
	CHECK(memcmp(arp->arp_spa, wanted, 4) == 0);
	text = xasprintf("%02x:%02x:%02x:%02x:%02x:%02x", a[0], a[1], a[2], a[3], a[4], a[5]);
	CHECK_STRING(text, PASST_HARDWARE_ADDRESS);
}

static void test_arp(void)
{
	struct error *error = NULL;
	int frames = -1;

	host_init();
	add_route();
	CHECK_INT(passt_families(), PASST_IPV4);
	CHECK_OK(start(NULL, 0, &frames, &error), &error);
	check_arp(frames, PASST_GATEWAY);
	check_arp(frames, PASST_DNS);
	check_end(frames);
}

/* Of the next frame of TCP over IPv4. */
static struct tcphdr receive_tcp(int frames)
{
	uint8_t frame[FRAME_MAX];
	struct tcphdr tcp;
	size_t size;

	do {
		size = receive_frame(frames, frame);
		CHECK(size > 0);
	} while (frame[12] != ETHERTYPE_IP >> 8 || frame[13] != (ETHERTYPE_IP & 0xff) ||
		 frame[23] != IPPROTO_TCP);
	CHECK(size >= sizeof(struct ether_header) + sizeof(struct iphdr) + sizeof(struct tcphdr));
	/* Linux takes none that is addressed to another one. */
	CHECK(memcmp(frame, guest_address, ETH_ALEN) == 0);
	memcpy(&tcp, frame + sizeof(struct ether_header) + sizeof(struct iphdr), sizeof(tcp));
	return tcp;
}

/* What a connection to a published port makes the guest see. */
static void check_published(int frames, const char *address, unsigned port, unsigned guest_port)
{
	_cleanup_close_ int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct tcphdr tcp;

	CHECK(inet_pton(AF_INET, address, &to.sin_addr) == 1);
	CHECK(connect(client, (struct sockaddr *)&to, sizeof(to)) < 0 && errno == EINPROGRESS);
	tcp = receive_tcp(frames);
	CHECK_INT(ntohs(tcp.dest), guest_port);
	CHECK(tcp.syn && !tcp.ack);
}

static void test_publish(void)
{
	static const char *const publish[] = { "127.0.0.1:8080:80", "9000-9001:900-901",
					       "53:53/udp" };
	struct error *error = NULL;
	int frames = -1;

	host_init();
	add_route();
	CHECK_OK(start(publish, ARRAY_SIZE(publish), &frames, &error), &error);
	/* (Before the guest has sent anything.) */
	check_published(frames, "127.0.0.1", 8080, 80);
	check_published(frames, HOST_ADDRESS, 9001, 901);
	check_end(frames);
}

static void test_ports_in_use(void)
{
	static const char *const second[] = { "8080-8082:80-82" }, *const udp[] = { "53:53/udp" },
				 *const foreign[] = { "198.51.100.1:8080:80" },
				 *const six[] = { "[::1]:8080:80" };
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(8081) };
	_cleanup_close_ int tcp_port = -1, udp_port = -1;
	struct error *error = NULL;
	int frames = -1;

	host_init();
	add_route();
	tcp_port = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	udp_port = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(bind(tcp_port, (struct sockaddr *)&any, sizeof(any)) == 0 &&
	      listen(tcp_port, 1) == 0);
	any.sin_port = htons(53);
	CHECK(bind(udp_port, (struct sockaddr *)&any, sizeof(any)) == 0);
	CHECK_ERROR(start(second, 1, &frames, &error), &error,
		    "cannot publish port 8081/tcp of every address: bind: Address already in use "
		    "(find its user with ss -lnp, or publish another port)");
	CHECK_ERROR(start(udp, 1, &frames, &error), &error,
		    "cannot publish port 53/udp of every address: bind: Address already in use");
	CHECK_ERROR(start(foreign, 1, &frames, &error), &error,
		    "cannot publish port 8080/tcp of 198.51.100.1: bind: Cannot assign requested "
		    "address (it must be an address of this host)");
	CHECK_ERROR(start(six, 1, &frames, &error), &error,
		    "cannot publish ports of ::1: the guest has no IPv6");
	check_nothing_left();
}

/* A connection of the guest's to the host by that address is answered. */
static void check_connection(int frames, const char *address, unsigned port)
{
	struct {
		struct ether_header ether;
		struct iphdr ip;
		struct tcphdr tcp;
	} __attribute__((packed)) syn = { .ether.ether_type = htons(ETHERTYPE_IP) };
	struct tcphdr tcp;

	memset(syn.ether.ether_dhost, 0xff, ETH_ALEN);
	memcpy(syn.ether.ether_shost, guest_address, ETH_ALEN);
	syn.ip.version = 4;
	syn.ip.ihl = 5;
	syn.ip.ttl = 64;
	syn.ip.protocol = IPPROTO_TCP;
	syn.ip.tot_len = htons(sizeof(syn) - sizeof(syn.ether));
	CHECK(inet_pton(AF_INET, PASST_GUEST_ADDRESS, &syn.ip.saddr) == 1);
	CHECK(inet_pton(AF_INET, address, &syn.ip.daddr) == 1);
	syn.tcp.source = htons(4000);
	syn.tcp.dest = htons((uint16_t)port);
	syn.tcp.doff = 5;
	syn.tcp.syn = 1;
	syn.tcp.window = htons(65535);
	send_frame(frames, &syn, sizeof(syn));
	tcp = receive_tcp(frames);
	CHECK_INT(ntohs(tcp.source), port);
	CHECK(tcp.syn && tcp.ack);
}

static void test_outbound(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(7000) };
	_cleanup_close_ int listener = -1;
	struct error *error = NULL;
	int frames = -1;

	host_init();
	add_route();
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(listener, (struct sockaddr *)&any, sizeof(any)) == 0 &&
	      listen(listener, 1) == 0);
	CHECK_OK(start(NULL, 0, &frames, &error), &error);
	check_connection(frames, HOST_ADDRESS, 7000);
	check_end(frames);
}

static void test_ipv6(void)
{
	static const char *const publish[] = { "[::1]:8080:80", "9000:900" };
	struct error *error = NULL;
	int frames = -1;

	host_init();
	if (system("ip address add " HOST_ADDRESS6 "/64 dev up0 nodad 2>/dev/null") != 0)
		return; /* no IPv6 here */
	run("ip route add default via 2001:db8::1 dev up0");
	CHECK_INT(passt_families(), PASST_IPV6);
	CHECK_OK(start(publish, ARRAY_SIZE(publish), &frames, &error), &error);
	check_end(frames);
	add_route();
	CHECK_INT(passt_families(), PASST_IPV4 | PASST_IPV6);
	CHECK_OK(start(publish, ARRAY_SIZE(publish), &frames, &error), &error);
	check_arp(frames, PASST_GATEWAY);
	check_end(frames);
}

/* Each of these has a socket. */
static void test_many_ports(void)
{
	static const char *const publish[] = { "20000-21023:20000-21023" };
	struct error *error = NULL;
	int frames = -1;

	host_init();
	add_route();
	CHECK_OK(start(publish, ARRAY_SIZE(publish), &frames, &error), &error);
	check_arp(frames, PASST_GATEWAY);
	check_published(frames, "127.0.0.1", 21023, 21023);
	check_end(frames);
}

static void test_no_route(void)
{
	struct error *error = NULL;
	int frames = -1;

	host_init();
	CHECK_INT(passt_families(), PASST_IPV4);
	/* Later versions do without. */
	if (start(NULL, 0, &frames, &error) == 0) {
		check_end(frames);
	} else {
		CHECK_ERROR(-1, &error,
			    "passt needs a default route, and this host has none: add one (ip "
			    "route add default via ADDRESS), or use --network none");
	}
	check_nothing_left();
}

/* Not passt, but one that ends in other ways. */
static void test_failures(void)
{
	static const struct {
		const char *script, *message;
	} cases[] = {
		{ NULL, "--network passt: there is no program passt in PATH: install the package "
			"passt (apt-get install passt)" },
		{ "echo first >&2; echo last words >&2; exit 3",
		  "passt ended with status 3: last words" },
		{ "exit 3", "passt ended with status 3: it says nothing" },
		{ "kill -9 $$", "passt was ended by signal 9: it says nothing" },
		{ "echo oops >&2; echo 'Failed to send 3 bytes to syslog' >&2; exit 1",
		  "passt ended with status 1: oops" },
		/* It has these descriptors and no others, and no environment of ours. */
		{ "echo $(ls /proc/$$/fd) $SECRET >&2; exit 1",
		  "passt ended with status 1: 0 1 10 2 3" },
	};
	char directory[] = "/tmp/test-passt.XXXXXX";
	_cleanup_free_ char *path = NULL;
	struct error *error = NULL;
	int frames = -1;

	CHECK(mkdtemp(directory) && setenv("PATH", directory, 1) == 0);
	CHECK(setenv("SECRET", "told", 1) == 0);
	path = xasprintf("%s/passt", directory);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (cases[i].script) {
			_cleanup_free_ char *text =
			    xasprintf("#!/bin/sh\nPATH=/usr/bin:/bin\n%s\n", cases[i].script);

			CHECK_OK(write_file_atomic(path, text, strlen(text), 0700, &error), &error);
		}
		CHECK_ERROR(start(NULL, 0, &frames, &error), &error, cases[i].message);
		CHECK_INT(frames, -1);
	}
	CHECK_OK(remove_tree(directory, &error), &error);
}

static const struct test_case cases[] = {
	{ "failures", test_failures },	   { "ARP, and the end", test_arp },
	{ "publish", test_publish },	   { "ports in use", test_ports_in_use },
	{ "outbound", test_outbound },	   { "IPv6", test_ipv6 },
	{ "many ports", test_many_ports }, { "no default route", test_no_route },
};
TEST_MAIN(cases)
