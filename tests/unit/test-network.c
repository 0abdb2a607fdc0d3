/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of a machine's network, on real namespaces: the test's own has the far end
 * of each cable.  Needs root, /dev/net/tun and ip(8). */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netlink/msg.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/rtnetlink.h"
#include "host/network-links.h"
#include "host/network.h"
#include "tests/unit/test.h"

#define VNET_HEADER 10 /* a tap's, until a device asks for another */

static struct network_place place;

static void shell(const char *script)
{
	_cleanup_free_ char *command =
	    xasprintf("set -e; ns=/proc/%d/fd/%d; there() { nsenter --net=$ns \"$@\"; }\n%s",
		      getpid(), place.ns_fd, script);

	if (system(command) != 0)
		test_fail(__FILE__, __LINE__, "failed: %s", script);
}

static int place_open(const char *path, size_t n_taps, struct network_place *ret_place,
		      struct error **ret_error)
{
	const struct network_needs needs = { .n_taps = n_taps, .n_queues = 1 };

	return network_place_open(path, &needs, ret_place, ret_error);
}

static void open_place(size_t n_taps)
{
	struct error *error = NULL;

	CHECK_OK(place_open(NULL, n_taps, &place, &error), &error);
	CHECK_INT(place.n_taps, n_taps);
}

/* Runs the function in a child in a new network namespace. */
static void in_child(void (*function)(void))
{
	int status;
	pid_t pid;

	if (geteuid() != 0)
		test_skip("needs root");
	if (access("/dev/net/tun", W_OK) < 0)
		test_skip("needs /dev/net/tun");
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
			_exit(77);
		CHECK(mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) == 0);
		function();
		exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		test_skip("cannot make a network namespace");
	CHECK_INT(status, 0);
}

/* A cable: "farN" here, "ethN" there. */
#define CABLE(n)                                                                                   \
	"ip link add far" #n " type veth peer name eth" #n " netns $ns\n"                          \
	"ip link set far" #n " up; there ip link set eth" #n " up\n"

static struct network_view scan(struct network *network)
{
	struct network_view view;
	struct error *error = NULL;

	CHECK_OK(network_scan(network, &view, &error), &error);
	return view;
}

static struct network *new_network(void)
{
	struct network *network;
	struct error *error = NULL;

	CHECK_OK(network_new(&place, &network, &error), &error);
	return network;
}

static const struct network_interface *find(const struct network_view *view, const char *name)
{
	for (size_t i = 0; i < view->n_interfaces; i++)
		if (strcmp(view->interfaces[i].name, name) == 0)
			return &view->interfaces[i];
	return NULL;
}

static const char *setting(const struct network_view *view, const char *path)
{
	for (size_t i = 0; i < view->n_settings; i++)
		if (strcmp(view->settings[i].path, path) == 0)
			return view->settings[i].value;
	return "none";
}

static size_t count(const struct network_view *view, int type, int family)
{
	size_t n = 0;

	for (size_t i = 0; i < view->n_objects; i++) {
		const struct nlmsghdr *message = view->objects[i].bytes;

		CHECK_INT(message->nlmsg_len, view->objects[i].size);
		/* (All four kinds of messages begin with the family.) */
		n += message->nlmsg_type == type && *(const uint8_t *)NLMSG_DATA(message) == family;
	}
	return n;
}

/* ---- frames ---- */

static int packet_socket(const char *name)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET,
				       .sll_protocol = htons(ETH_P_ALL),
				       .sll_ifindex = (int)if_nametoindex(name) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));

	CHECK(fd >= 0);
	CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

#define FRAME_SIZE 1000
/* Of a type that no stack knows, with content that tells it apart. */
static void make_frame(uint8_t frame[FRAME_SIZE], uint8_t mark)
{
	memset(frame, mark, FRAME_SIZE);
	memset(frame, 0xff, 6);
	memcpy(frame + 6, "\x02\0\0\0\0\x01\x88\xb5", 8);
}

/* Reads until the frame comes: there may be others. */
static void expect_frame(int fd, size_t header, uint8_t mark)
{
	uint8_t wanted[FRAME_SIZE], got[4096];
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	ssize_t n;

	make_frame(wanted, mark);
	do {
		CHECK_INT(poll(&poll_fd, 1, 5000), 1);
		n = read(fd, got, sizeof(got));
	} while (n != (ssize_t)(header + FRAME_SIZE) ||
		 memcmp(got + header, wanted, FRAME_SIZE) != 0);
}

static void check_joined(const char *far, int tap_fd, uint8_t mark)
{
	_cleanup_close_ int fd = packet_socket(far);
	uint8_t frame[VNET_HEADER + FRAME_SIZE] = { 0 };

	make_frame(frame + VNET_HEADER, mark);
	CHECK_INT(send(fd, frame + VNET_HEADER, FRAME_SIZE, 0), FRAME_SIZE);
	expect_frame(tap_fd, VNET_HEADER, mark);
	make_frame(frame + VNET_HEADER, (uint8_t)(mark + 1));
	CHECK_INT(write(tap_fd, frame, sizeof(frame)), sizeof(frame));
	expect_frame(fd, 0, (uint8_t)(mark + 1));
}

/* What the stack behind the cable says to a connection: a network that nobody has joined
 * refuses it. */
static int connect_code(const char *address)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };

	CHECK(fd >= 0);
	CHECK_INT(inet_pton(AF_INET, address, &to.sin_addr), 1);
	return connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 ? 0 : errno;
}

/* ---- the cases ---- */

static void run_joins(void)
{
	_cleanup_(network_freep) struct network *network = NULL;
	_cleanup_(nl_socket_freep) struct nl_sock *filters = NULL;
	const struct network_interface *eth0;
	struct network_view view;
	struct error *error = NULL;
	uint8_t byte;

	open_place(2);
	network = new_network();
	shell(CABLE(
	    0) "there ip link set eth0 mtu 9000 txqueuelen 77 address 02:11:22:33:44:55\n"
	       "ip link set far0 mtu 9000\n"
	       "there sysctl -qw net.ipv6.conf.eth0.accept_ra=0 net.ipv4.conf.eth0.rp_filter=2 "
	       "net.core.somaxconn=777 net.ipv4.ip_local_port_range='2000 3000' "
	       /* (A new namespace has the host's, where a bridge may have changed it.) */
	       "net.ipv4.ip_forward=0");
	view = scan(network);
	CHECK_INT(view.n_interfaces, 2);
	CHECK_INT(find(&view, "lo")->slot, -1);
	CHECK_INT(find(&view, "lo")->flags, IFF_UP);
	eth0 = find(&view, "eth0");
	CHECK_INT(eth0->slot, 0);
	CHECK_INT(eth0->mtu, 9000);
	CHECK_INT(eth0->queue_length, 77);
	CHECK_INT(eth0->flags, IFF_UP);
	CHECK(memcmp(eth0->address, "\x02\x11\x22\x33\x44\x55", 6) == 0);
	CHECK_STRING(setting(&view, "ipv6/conf/eth0/accept_ra"), "0");
	CHECK_STRING(setting(&view, "ipv4/conf/eth0/rp_filter"), "2");
	CHECK_STRING(setting(&view, "ipv4/conf/lo/rp_filter"), "none");
	CHECK_STRING(setting(&view, "core/somaxconn"), "777");
	CHECK_STRING(setting(&view, "ipv4/ip_local_port_range"), "2000\t3000");
	CHECK_STRING(setting(&view, "ipv4/ip_forward"), "none");
	shell("there ip link show sm0 | grep -q 'mtu 9000'\n"
	      "there ip -6 addr show dev sm0 | grep -q inet6 && exit 1; true");
	check_joined("far0", place.tap_fds[0][0], 0x11);
	network_view_done(&view);
	/* The largest that a cable has, and more than a tap takes; no filter is touched for it. */
	CHECK_OK(rtnetlink_connect(place.ns_fd, &filters, &error), &error);
	CHECK_INT(nl_socket_add_memberships(filters, RTNLGRP_TC, RTNLGRP_NONE), 0);
	shell("there ip link set eth0 mtu 65535; ip link set far0 mtu 65535");
	view = scan(network);
	CHECK_INT(find(&view, "eth0")->mtu, 65535);
	CHECK_INT(recv(nl_socket_get_fd(filters), &byte, 1, MSG_DONTWAIT), -1);
	shell("there ip link show sm0 | grep -q 'mtu 65521'");
	check_joined("far0", place.tap_fds[0][0], 0x13);
	network_view_done(&view);
}
static void joins(void)
{
	in_child(run_joins);
}

/* As many as there can be; the setting would be of no help. */
static void run_most(void)
{
	_cleanup_(network_freep) struct network *network = NULL;
	struct network_view view;
	struct error *error = NULL;

	open_place(NETWORK_TAPS_MAX);
	network = new_network();
	shell("for i in $(seq 9); do there ip link add eth$i type veth peer name far$i netns $$\n"
	      "done");
	CHECK_ERROR(network_scan(network, &view, &error), &error,
		    "8 network devices, the most that it can have, and none is left for the "
		    "interface eth9");
}
static void most(void)
{
	in_child(run_most);
}

/* What comes, goes and comes again has a tap each time; who joined before does not matter. */
static void run_slots(void)
{
	_cleanup_(network_freep) struct network *network = NULL;
	struct network_view view;
	struct error *error = NULL;

	open_place(2);
	network = new_network();
	shell(CABLE(0) CABLE(1));
	view = scan(network);
	CHECK_INT(find(&view, "eth0")->slot, 0);
	CHECK_INT(find(&view, "eth1")->slot, 1);
	network_view_done(&view);
	shell(CABLE(2));
	CHECK_ERROR(network_scan(network, &view, &error), &error,
		    "2 network devices, which is one too few for the interface eth2");
	shell("ip link del far0");
	view = scan(network);
	CHECK_INT(find(&view, "eth1")->slot, 1);
	CHECK_INT(find(&view, "eth2")->slot, 0);
	check_joined("far1", place.tap_fds[1][0], 0x21);
	check_joined("far2", place.tap_fds[0][0], 0x31);
	network_view_done(&view);
	/* As if by a machine that has ended. */
	network_free(network);
	network = new_network();
	view = scan(network);
	CHECK_INT(find(&view, "eth1")->slot, 0);
	CHECK_INT(find(&view, "eth2")->slot, 1);
	check_joined("far1", place.tap_fds[0][0], 0x41);
	check_joined("far2", place.tap_fds[1][0], 0x51);
	network_view_done(&view);
}
static void slots(void)
{
	in_child(run_slots);
}

static void run_objects(void)
{
	_cleanup_(network_freep) struct network *network = NULL;
	struct network_view view;

	open_place(1);
	network = new_network();
	shell(
	    CABLE(0) "there ip addr add 10.1.0.2/24 dev eth0\n"
		     "there ip addr add fd00:1::2/64 dev eth0 nodad\n"
		     "there ip neigh add proxy 10.1.0.30 dev eth0\n"
		     "there ip neigh add proxy fd00:1::30 dev eth0\n"
		     "there ip route add default via 10.1.0.1\n"
		     "there ip route add 10.9.0.0/16 via 10.1.0.9 table 100\n"
		     "there ip route add blackhole 10.8.0.0/16\n"
		     "there ip route add local 10.7.0.0/16 dev eth0 table local\n"
		     "there ip -6 route add local fd00:7::/48 dev eth0 table local\n"
		     "there ip rule add from 10.1.0.2 table 100\n"
		     "there ip neigh add 10.1.0.7 lladdr 02:00:00:00:00:07 dev eth0 nud permanent\n"
		     "there ip neigh add 10.1.0.8 lladdr 02:00:00:00:00:08 dev eth0 nud stale");
	view = scan(network);
	CHECK_INT(count(&view, RTM_NEWADDR, AF_INET), 1);
	CHECK(count(&view, RTM_NEWADDR, AF_INET6) >= 1);
	/* default, 10.1.0.0/24, table 100, blackhole; of the table "local" what somebody has added
	 */
	CHECK_INT(count(&view, RTM_NEWROUTE, AF_INET), 5);
	/* fd00:1::/64, fe80::/64, and that one */
	CHECK_INT(count(&view, RTM_NEWROUTE, AF_INET6), 3);
	CHECK_INT(count(&view, RTM_NEWRULE, AF_INET), 1);
	CHECK_INT(count(&view, RTM_NEWRULE, AF_INET6), 0);
	/* The permanent one and the proxies. */
	CHECK_INT(count(&view, RTM_NEWNEIGH, AF_INET), 2);
	CHECK_INT(count(&view, RTM_NEWNEIGH, AF_INET6), 1);
	network_view_done(&view);
}
static void objects(void)
{
	in_child(run_objects);
}

static void run_events(void)
{
	_cleanup_(network_freep) struct network *network = NULL;
	struct pollfd events;

	open_place(1);
	network = new_network();
	shell(CABLE(0));
	events = (struct pollfd){ .fd = network_fd(network), .events = POLLIN };
	CHECK_INT(poll(&events, 1, 5000), 1);
	usleep(100000); /* what the cable's own coming up tells */
	network_drain(network);
	CHECK_INT(poll(&events, 1, 0), 0);
	shell("there ip addr add 10.1.0.2/24 dev eth0");
	CHECK_INT(poll(&events, 1, 5000), 1);
}
static void events(void)
{
	in_child(run_events);
}

/* Nobody is at the other end of the cable; somebody has removed the tap. */
static void run_carrier(void)
{
	_cleanup_(network_freep) struct network *network = NULL;
	struct network_view view;

	open_place(1);
	network = new_network();
	shell(CABLE(0));
	view = scan(network);
	CHECK(!find(&view, "eth0")->no_carrier && !find(&view, "lo")->no_carrier);
	network_view_done(&view);
	shell("ip link set far0 down");
	view = scan(network);
	CHECK(find(&view, "eth0")->no_carrier);
	network_view_done(&view);
	/* What is down itself says nothing of its cable. */
	shell("there ip link set eth0 down");
	view = scan(network);
	CHECK(!find(&view, "eth0")->no_carrier);
	network_view_done(&view);
	shell("ip link set far0 up; there ip link set eth0 up; there ip link del sm0");
	view = scan(network);
	CHECK(find(&view, "eth0")->no_carrier);
	CHECK_INT(find(&view, "eth0")->slot, 0);
	network_view_done(&view);
}
static void carrier(void)
{
	in_child(run_carrier);
}

/* It leaves and comes back between two looks: the same index, and nothing joins it any more. */
static void run_away_and_back(void)
{
	_cleanup_(network_freep) struct network *network = NULL;
	struct network_view view;

	open_place(1);
	network = new_network();
	shell(CABLE(0));
	view = scan(network);
	network_view_done(&view);
	network_drain(network);
	shell("there ip link set eth0 netns $$; ip link set eth0 netns $ns; there ip link set eth0 "
	      "up");
	network_drain(network);
	view = scan(network);
	CHECK_INT(find(&view, "eth0")->slot, 0);
	check_joined("far0", place.tap_fds[0][0], 0x51);
	network_view_done(&view);
}
static void away_and_back(void)
{
	in_child(run_away_and_back);
}

/* Interfaces come and go at any time, also between being listed and being joined. */
static void run_restless(void)
{
	_cleanup_(network_freep) struct network *network = NULL;
	struct network_view view;
	int status;
	pid_t pid;

	open_place(2);
	network = new_network();
	shell(CABLE(0));
	pid = fork();
	if (pid == 0) {
		shell("for i in $(seq 300); do\n"
		      "echo link add far1 type veth peer name eth1 netns $ns; echo link del far1\n"
		      "done | ip -batch -");
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		view = scan(network);
		CHECK(find(&view, "eth0"));
		network_view_done(&view);
	}
	CHECK_INT(status, 0);
	check_joined("far0", place.tap_fds[0][0], 0x55);
}
static void restless(void)
{
	in_child(run_restless);
}

/* The next one after a machine finds the namespace as it was. */
static void run_end(void)
{
	struct network *network;
	struct network_view view;

	open_place(1);
	network = new_network();
	shell(CABLE(0) "ip addr add 10.1.0.1/24 dev far0; there ip addr add 10.1.0.2/24 dev eth0");
	view = scan(network);
	check_joined("far0", place.tap_fds[0][0], 0x57);
	network_view_done(&view);
	network_place_close_taps(&place);
	network_free(network);
	CHECK_INT(connect_code("10.1.0.2"), ECONNREFUSED);
}
static void end(void)
{
	in_child(run_end);
}

/* Members of a bridge are the bridge's; a link that is down and no Ethernet is nobody's. */
static void run_kinds(void)
{
	_cleanup_(network_freep) struct network *network = NULL;
	struct network_view view;
	struct error *error = NULL;

	open_place(3);
	network = new_network();
	shell(CABLE(0) "there ip link add br0 type bridge; there ip link set eth0 master br0\n"
		       "there ip link set br0 up\n"
		       "there ip tuntap add dev p2p mode tun");
	view = scan(network);
	CHECK(!find(&view, "eth0"));
	CHECK(!find(&view, "p2p"));
	CHECK_INT(find(&view, "br0")->slot, 0);
	check_joined("far0", place.tap_fds[0][0], 0x61);
	network_view_done(&view);
	/* One that is joined becomes a member. */
	shell(CABLE(1));
	view = scan(network);
	CHECK_INT(find(&view, "eth1")->slot, 1);
	network_view_done(&view);
	shell("there ip link set eth1 master br0");
	view = scan(network);
	CHECK(!find(&view, "eth1"));
	check_joined("far1", place.tap_fds[0][0], 0x63);
	network_view_done(&view);
	shell("there ip link set p2p up");
	CHECK_ERROR(network_scan(network, &view, &error), &error,
		    "the interface p2p cannot be given to a machine");
}
static void kinds(void)
{
	in_child(run_kinds);
}

static bool is_wanted(const char *kind, uint16_t type, unsigned flags)
{
	const struct ifinfomsg info = { .ifi_type = type, .ifi_index = 3, .ifi_flags = flags };
	struct nl_msg *message = nlmsg_alloc_simple(RTM_NEWLINK, 0);
	struct network_link link;
	struct nlattr *nest;
	bool wanted;

	CHECK(message && nlmsg_append(message, (void *)&info, sizeof(info), NLMSG_ALIGNTO) == 0);
	CHECK_INT(nla_put_string(message, IFLA_IFNAME, "any0"), 0);
	nest = nla_nest_start(message, IFLA_LINKINFO);
	CHECK(nest && nla_put_string(message, IFLA_INFO_KIND, kind) == 0);
	(void)nla_nest_end(message, nest);
	CHECK(network_link_read(nlmsg_hdr(message), &link));
	wanted = network_link_is_wanted(&link);
	network_link_done(&link);
	nlmsg_free(message);
	return wanted;
}

/* What modules make in each namespace is down, some of it of Ethernet's kind. */
static void tunnels(void)
{
	CHECK(!is_wanted("gre", ARPHRD_IPGRE, 0));
	CHECK(is_wanted("gre", ARPHRD_IPGRE, IFF_UP)); /* to be refused by name */
	CHECK(!is_wanted("gretap", ARPHRD_ETHER, 0));
	CHECK(!is_wanted("erspan", ARPHRD_ETHER, 0));
	CHECK(is_wanted("gretap", ARPHRD_ETHER, IFF_UP));
	CHECK(is_wanted("veth", ARPHRD_ETHER, 0));
}

static void run_another_machine(void)
{
	_cleanup_(network_freep) struct network *first = NULL, *second = NULL;
	_cleanup_free_ char *path = NULL;
	struct network_place other;
	struct network_view view;
	struct error *error = NULL;
	size_t n;

	open_place(1);
	first = new_network();
	shell(CABLE(0));
	view = scan(first);
	CHECK_INT(view.n_interfaces, 2);
	network_view_done(&view);
	path = xasprintf("/proc/self/fd/%d", place.ns_fd);
	CHECK_OK(network_count(path, &n, &error), &error);
	CHECK_INT(n, 1);
	CHECK_OK(place_open(path, 1, &other, &error), &error);
	CHECK_OK(network_new(&other, &second, &error), &error);
	view = scan(second);
	CHECK_INT(view.n_interfaces, 0);
	network_view_done(&view);
	view = scan(first); /* which sees the second one's taps */
	CHECK_INT(view.n_interfaces, 2);
	network_view_done(&view);
	check_joined("far0", place.tap_fds[0][0], 0x71);
	/* The first machine ends. */
	network_place_close_taps(&place);
	view = scan(second);
	CHECK_INT(view.n_interfaces, 2);
	check_joined("far0", other.tap_fds[0][0], 0x73);
	network_view_done(&view);
	network_place_done(&other);
}
static void another_machine(void)
{
	in_child(run_another_machine);
}

/* The host's own network stays the host's: a machine in it takes nothing. */
static void run_own_namespace(void)
{
	_cleanup_(network_freep) struct network *network = NULL;
	struct network_view view;
	struct error *error = NULL;
	size_t n;

	CHECK_OK(place_open("/proc/self/ns/net", 2, &place, &error), &error);
	CHECK_INT(place.n_taps, 0);
	shell("ip link add mine type veth peer name yours; ip link set mine up; ip link set yours "
	      "up");
	CHECK_OK(network_count("/proc/self/ns/net", &n, &error), &error);
	CHECK_INT(n, 0);
	network = new_network();
	view = scan(network);
	CHECK_INT(view.n_interfaces, 0);
	network_view_done(&view);
	/* Whatever a caller may have made there. */
	place.n_taps = 1;
	place.taps[0] = (int)if_nametoindex("yours");
	network_free(network);
	network = new_network();
	view = scan(network);
	CHECK_INT(view.n_interfaces, 0);
	network_view_done(&view);
	shell("[ -z \"$(tc qdisc show dev mine ingress)\" ]; ip link show mine | grep -q ALLMULTI "
	      "&& exit 1; true");
}
static void own_namespace(void)
{
	in_child(run_own_namespace);
}

static void run_no_taps(void)
{
	_cleanup_(network_freep) struct network *network = NULL;
	struct network_view view;
	struct error *error = NULL;

	CHECK(mount("/dev/null", "/dev/net/tun", NULL, MS_BIND, NULL) == 0);
	CHECK_OK(place_open(NULL, 2, &place, &error), &error);
	CHECK_INT(place.n_taps, 0);
	network = new_network();
	view = scan(network); /* an empty namespace needs none */
	CHECK_INT(view.n_interfaces, 1);
	network_view_done(&view);
	shell(CABLE(0));
	CHECK_ERROR(network_scan(network, &view, &error), &error,
		    "no network device for the interface eth0: cannot make a tap (TUNSETIFF)");
}
static void no_taps(void)
{
	in_child(run_no_taps);
}

static void bad_paths(void)
{
	struct error *error = NULL;
	size_t n;

	CHECK_ERROR(place_open("/dev/null", 1, &place, &error), &error,
		    "cannot join the network namespace /dev/null: Invalid argument");
	CHECK_ERROR(place_open("/nowhere", 1, &place, &error), &error,
		    "cannot join the network namespace /nowhere: No such file");
	CHECK_ERROR(network_count("/dev/null", &n, &error), &error,
		    "cannot join the network namespace /dev/null");
	CHECK_ERROR(network_count("/nowhere", &n, &error), &error,
		    "cannot join the network namespace /nowhere: No such file");
}

/* Each tap with as many queues as pairs of its device; it goes with the last of them. */
static void queues_in_child(void)
{
	const struct network_needs needs = { .n_taps = 2, .n_queues = 3 };
	struct network *network;
	struct error *error = NULL;

	CHECK_OK(network_place_open(NULL, &needs, &place, &error), &error);
	CHECK_INT(place.n_taps, 2);
	for (size_t tap = 0; tap < 2; tap++)
		for (size_t queue = 0; queue < 3; queue++) {
			struct ifreq request = { 0 };

			CHECK(ioctl(place.tap_fds[tap][queue], TUNGETIFF, &request) == 0);
			CHECK(request.ifr_flags & IFF_MULTI_QUEUE);
			CHECK_STRING(request.ifr_name, tap == 0 ? "sm0" : "sm1");
		}
	CHECK_OK(network_new(&place, &network, &error), &error);
	for (size_t queue = 0; queue < 2; queue++) {
		(void)close(place.tap_fds[1][queue]);
		place.tap_fds[1][queue] = -1;
	}
	shell("there ip link show sm1 >/dev/null");
	network_place_close_taps(&place);
	shell("! there ip link show sm1 2>/dev/null");
	network_free(network);
	network_place_done(&place);
}

static void queues(void)
{
	in_child(queues_in_child);
}

static const struct test_case cases[] = {
	{ "joins", joins },
	{ "slots", slots },
	{ "most", most },
	{ "objects", objects },
	{ "events", events },
	{ "carrier", carrier },
	{ "kinds", kinds },
	{ "tunnels", tunnels },
	{ "another machine", another_machine },
	{ "queues", queues },
	{ "own namespace", own_namespace },
	{ "no taps", no_taps },
	{ "bad paths", bad_paths },
	{ "away and back", away_and_back },
	{ "restless", restless },
	{ "end", end },
};
TEST_MAIN(cases)
