/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's side of the network: what the host's kernel dumps, the guest has afterwards, by the
 * word of ip(8).
 */
#include <dirent.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/network-object.h"
#include "agent/network.h"
#include "base/alloc.h"
#include "base/log.h"
#include "tests/unit/network-rig.h"
#include "tests/unit/test.h"

struct world {
	pid_t host, guest; /* whose namespaces they are */
	struct networks *networks;
	size_t n_fds;
};

static size_t count_fds(void)
{
	_cleanup_dir_ DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	CHECK(dir != NULL);
	while (readdir(dir))
		n++;
	return n;
}

static void start(struct world *world, unsigned n_devices)
{
	network_rig_start();
	log_set_level(getenv("RIG_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING);
	world->host = network_namespace_new();
	world->guest = network_namespace_new();
	world->networks = networks_new();
	world->n_fds = count_fds();
	for (unsigned i = 1; i <= n_devices; i++)
		network_device_new(i);
}

static void stop(struct world *world)
{
	CHECK_INT(count_fds(), world->n_fds);
	network_namespace_end(world->host);
	network_namespace_end(world->guest);
	networks_free(world->networks);
}

static const struct spec no_spec;

static int apply(const struct world *world, const struct wish *wish, struct error **ret_error)
{
	return networks_apply(world->networks, world->guest, &no_spec, &wish->request, ret_error);
}

/* Host and guest print the same. */
static void compare(const struct world *world, const char *command)
{
	_cleanup_free_ char *wanted = network_output(world->host, "%s", command);
	_cleanup_free_ char *got = network_output(world->guest, "%s", command);

	CHECK(wanted[0] != '\0');
	if (strcmp(wanted, got) != 0)
		test_fail(__FILE__, __LINE__, "%s:\n%s--- is not\n%s", command, got, wanted);
}

/* Indices, peers' and queueing names aside; with the addresses' flags that the guest's alone have.
 */
static void compare_all(const struct world *world)
{
	compare(world, "ip -o link | sed \"s/^[0-9]*: //; s/@[^:]*//; s/link-netns.*//; s/qdisc "
		       "[a-z]*//; s/,LOWER_UP//; s/state [A-Z]*//\" | sort");
	compare(world, "ip -o addr | sed \"s/^[0-9]*: //; s/ noprefixroute//; s/ nodad//; s/ proto "
		       "kernel_l[lo]//; "
		       "s/ [0-9]*sec/ sec/g; s/[\\\\].*valid_lft/valid/\" | sort");
	compare(world, "ip -4 route show table all | sort");
	/* (The guest's are "onlink" if their gateways are out of reach.) */
	compare(world, "ip -6 route show table all | sed \"s/ onlink//\" | sort");
	compare(world, "ip -4 rule; ip -6 rule");
	compare(world, "{ ip neigh show nud permanent; ip neigh show proxy; echo .; } | sort");
}

/* Two interfaces as CNI makes them, and all else that a namespace may have. */
static void furnish(const struct world *world)
{
	network_shell(
	    world->host,
	    "ip link set lo up; ip link add eth0 mtu 1400 address 0a:58:0a:01:00:05 type veth peer "
	    "name p0; ip link add eth1 mtu 9000 txqueuelen 77 address 0a:58:0a:01:00:06 type veth "
	    "peer name p1; "
	    "for i in eth0 eth1 p0 p1; do echo 0 >/proc/sys/net/ipv6/conf/$i/accept_dad; done; "
	    "for i in p0 p1; do echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; done; "
	    "for i in eth0 eth1 p0 p1; do ip link set $i up; done; ip link set eth1 allmulticast "
	    "on; "
	    "ip addr add 10.1.0.5/24 dev eth0; ip route del 10.1.0.0/24; "
	    "ip addr add 10.1.0.9/24 broadcast 10.1.0.255 label eth0:x dev eth0; "
	    "ip addr add 192.0.2.1 peer 192.0.2.9/32 dev eth1 valid_lft 5000 preferred_lft 4000; "
	    "ip addr add 10.2.0.1/16 dev eth1; ip addr add 2001:db8::5/64 dev eth0 nodad; "
	    "ip addr add 2001:db8:2::1 peer 2001:db8:2::2/128 dev eth1 nodad; "
	    "ip route add 10.1.0.1 dev eth0 scope link src 10.1.0.5; "
	    "ip route add 10.1.0.0/24 via 10.1.0.1 src 10.1.0.5; ip route add default via "
	    "10.1.0.1; "
	    "ip route append default via 10.2.0.7; "
	    "ip route add 10.9.0.0/16 nexthop via 10.1.0.1 weight 2 nexthop via 10.2.0.7; "
	    "ip route add blackhole 10.66.0.0/16; ip route add unreachable 10.67.0.0/16 metric 9; "
	    "ip route add 10.8.0.0/16 via 10.2.0.7 mtu 1200 advmss 1100 metric 5; "
	    "ip route add 10.6.0.0/16 via inet6 fe80::1 dev eth0; ip route add 10.7.0.0/16 via "
	    "172.31.0.1 dev eth1 onlink table 100; "
	    "ip rule add from 10.1.0.9 table 100 priority 50; ip rule add oif eth1 fwmark 7 table "
	    "9 "
	    "prio 60; ip -6 rule add to 2001:db8:7::/48 prohibit; ip rule add from 10.200.0.0/16 "
	    "table main priority 0; "
	    "ip -6 route add default via 2001:db8::1 metric 33; "
	    "ip -6 route add 2001:db8:9::/48 nexthop via 2001:db8::7 nexthop via fe80::9 dev eth1; "
	    "ip -6 route add blackhole 2001:db8:66::/48; "
	    "ip -6 route add 2001:db8:8::/48 via fe80::1 dev eth1 mtu 1300; "
	    "ip neigh add 10.2.0.7 lladdr 02:aa:bb:cc:dd:ee dev eth1; "
	    "ip neigh add 2001:db8::7 lladdr 02:aa:bb:cc:dd:ef dev eth0 router; "
	    "ip neigh add proxy 10.2.0.99 dev eth1");
}

static void furnish_wish(const struct world *world, struct wish *wish)
{
	wish_init(wish, "box");
	(void)wish_add_link(wish, 0, world->host, "lo");
	(void)wish_add_link(wish, 1, world->host, "eth0");
	(void)wish_add_link(wish, 2, world->host, "eth1");
	wish_add_all(wish, world->host);
}

static void give(const struct world *world)
{
	struct error *error = NULL;
	struct wish wish;

	furnish_wish(world, &wish);
	CHECK_OK(apply(world, &wish, &error), &error);
	wish_done(&wish);
}

/* The peers of the host's devices are not the guest's. */
static void hide_peers(const struct world *world)
{
	pid_t other = network_namespace_new();

	network_shell(world->host, "for i in p0 p1; do ip link set $i netns %d; done", (int)other);
	network_shell(other, "ip link set p0 up; ip link set p1 up");
	/* The kernel tells routes of a carrier when it finds the time. */
	network_shell(
	    world->host,
	    "for i in $(seq 500); do [ \"$(ip -o link | grep -c eth.*state.UP)\" = 2 ] && "
	    "break; sleep 0.01; done");
}

static void test_mirror(void)
{
	_cleanup_free_ char *before = NULL, *after = NULL;
	struct world world;

	start(&world, 2);
	furnish(&world);
	hide_peers(&world);
	give(&world);
	compare_all(&world);
	/* Again: nothing happens. */
	before = network_output(world.guest, "ip -d link; ip addr | sed s/[0-9]*sec//g");
	give(&world);
	after = network_output(world.guest, "ip -d link; ip addr | sed s/[0-9]*sec//g");
	CHECK_STRING(after, before);
	compare_all(&world);
	stop(&world);
}

static void test_changes(void)
{
	static const char *const changes[] = {
		"ip route del default via 10.2.0.7; ip addr del 10.1.0.9/24 dev eth0",
		"ip route change default via 10.1.0.1 src 10.1.0.5 mtu 1350",
		"ip link set eth1 mtu 1500; ip link set eth1 allmulticast off",
		"ip rule del priority 50; ip route flush table 100",
		"ip neigh change 10.2.0.7 lladdr 02:aa:bb:cc:dd:01 dev eth1",
		"ip neigh del 10.2.0.7 dev eth1; ip neigh del proxy 10.2.0.99 dev eth1",
		"ip -6 route del 2001:db8:9::/48; ip -6 addr del 2001:db8::5/64 dev eth0",
		("ip link set eth0 down; ip link set eth0 address 0a:58:0a:01:00:55; "
		 "ip link set eth0 up; ip addr add 2001:db8::6/64 dev eth0 nodad"),
		"ip addr add 10.55.0.1/24 dev eth0; ip route add 10.56.0.0/16 via 10.55.0.2",
		"ip link set eth0 down",
	};
	struct world world;

	start(&world, 2);
	furnish(&world);
	hide_peers(&world);
	give(&world);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		network_shell(world.host, "%s", changes[i]);
		give(&world);
		compare_all(&world);
	}
	stop(&world);
}

/* A host's routes stay when their gateways are no longer in reach; no request could add them. */
static void test_out_of_reach(void)
{
	static const char show[] = "{ ip route show table all; ip -6 route show table all; } | "
				   "grep via | sed \"s/ onlink//\" | sort";
	struct world world;

	start(&world, 2);
	furnish(&world);
	hide_peers(&world);
	network_shell(world.host,
		      "ip route del 10.1.0.1 dev eth0; ip route del 10.2.0.0/16 dev eth1; "
		      "ip -6 route del 2001:db8::/64 dev eth0");
	give(&world);
	compare(&world, show);
	/* It is there; it goes with its interface, by no fault of the host's. */
	give(&world);
	compare(&world, show);
	network_shell(world.guest, "ip link set eth0 down; ip link set eth0 up");
	give(&world);
	compare(&world, show);
	network_shell(world.host, "ip route del default via 10.1.0.1; ip route del 10.9.0.0/16");
	give(&world);
	compare(&world, show);
	stop(&world);
}

/* What the container itself has added stays. */
static void test_of_others(void)
{
	_cleanup_free_ char *routes = NULL;
	struct world world;

	start(&world, 2);
	furnish(&world);
	hide_peers(&world);
	give(&world);
	network_shell(world.guest, "ip route add 10.99.0.0/16 via 10.2.0.9");
	network_shell(world.host, "ip route del default via 10.1.0.1");
	give(&world);
	routes = network_output(world.guest, "ip route show 10.99.0.0/16; ip route show default");
	CHECK_STRING(routes,
		     "10.99.0.0/16 via 10.2.0.9 dev eth1 \ndefault via 10.2.0.7 dev eth1 \n");
	stop(&world);
}

static void check_names(const struct world *world, const char *wanted)
{
	_cleanup_free_ char *names = network_output(
	    world->guest,
	    "ip -o link | sed \"s/^[0-9]*: //; s/[@:].* mtu / /; s/ qdisc.*ether / /; "
	    "s/ brd.*//; /^lo/d\" | sort");

	CHECK_STRING(names, wanted);
}

static void test_names(void)
{
	struct error *error = NULL;
	_cleanup_free_ char *text = NULL;
	struct world world;
	struct wish wish;

	start(&world, 2);
	wish_init(&wish, "box");
	wish_add(&wish, 1, "eth0", 7)->mtu = 1280;
	wish_add(&wish, 2, "eth1", 8)->mtu = 9000;
	wish.interfaces[0].address.data[4] = 0x44;
	CHECK_OK(apply(&world, &wish, &error), &error);
	check_names(&world, "eth0 1280 02:00:00:00:44:01\neth1 9000 02:00:00:00:00:02\n");
	/* A swap, and an address that is another's slot. */
	(void)strcpy(wish.interfaces[0].name, "eth1");
	(void)strcpy(wish.interfaces[1].name, "eth0");
	wish.interfaces[0].address.data[4] = 0x55;
	wish.interfaces[0].mtu = 1500;
	CHECK_OK(apply(&world, &wish, &error), &error);
	check_names(&world, "eth0 9000 02:00:00:00:00:02\neth1 1500 02:00:00:00:55:01\n");
	/* One goes: into the initial namespace, down, and can be had again. */
	wish.interface_pointers[0] = &wish.interfaces[1];
	wish.request.n_interfaces = 1;
	CHECK_OK(apply(&world, &wish, &error), &error);
	check_names(&world, "eth0 9000 02:00:00:00:00:02\n");
	text = network_output(0, "ip -o link show sm-020000000001 | "
				 "sed \"s/.*mtu.*state //; s/mode.*ether//; s/ brd.*//\"");
	CHECK_STRING(text, "DOWN  02:00:00:00:00:01\n");
	wish.interface_pointers[0] = &wish.interfaces[0];
	wish.interface_pointers[1] = &wish.interfaces[1];
	wish.request.n_interfaces = 2;
	CHECK_OK(apply(&world, &wish, &error), &error);
	check_names(&world, "eth0 9000 02:00:00:00:00:02\neth1 1500 02:00:00:00:55:01\n");
	wish_done(&wish);
	stop(&world);
}

/* A name that a device of the container's own has. */
static void test_taken_name(void)
{
	struct error *error = NULL;
	struct world world;
	struct wish wish;

	start(&world, 1);
	network_shell(world.guest, "ip link add eth0 type bridge");
	wish_init(&wish, "box");
	(void)wish_add(&wish, 1, "eth0", 7);
	CHECK_ERROR(apply(&world, &wish, &error), &error,
		    "cannot set up the interface eth0: rename");
	network_shell(world.guest, "ip link del eth0");
	CHECK_OK(apply(&world, &wish, &error), &error);
	check_names(&world, "eth0 1500 02:00:00:00:00:01\n");
	wish_done(&wish);
	stop(&world);
}

static void test_settings(void)
{
	_cleanup_free_ char *text = NULL;
	struct error *error = NULL;
	struct world world;
	struct wish wish;

	start(&world, 1);
	wish_init(&wish, "box");
	(void)wish_add(&wish, 1, "eth0", 7);
	wish_add_setting(&wish, "ipv6/conf/eth0/disable_ipv6", "1");
	wish_add_setting(&wish, "ipv4/conf/eth0/rp_filter", "2");
	wish_add_setting(&wish, "ipv4/conf/all/no_such_setting", "2");
	CHECK_OK(apply(&world, &wish, &error), &error);
	text = network_output(world.guest, "cd /proc/sys/net; cat ipv6/conf/eth0/disable_ipv6 "
					   "ipv4/conf/eth0/rp_filter; ip -6 addr show dev eth0");
	CHECK_STRING(text, "1\n2\n");
	wish.settings[1].value = (char *)"nonsense";
	CHECK_ERROR(apply(&world, &wish, &error), &error, "network setting");
	wish_done(&wish);
	stop(&world);
}

/* Those of the whole namespace, too; but not what config.json says, which was set before. */
static void test_settings_of_all(void)
{
	static struct spec_key_value named[] = { { "net.core.somaxconn", "555" } };
	const struct spec spec = { .linux_ = { .sysctl = named, .n_sysctl = 1 } };
	_cleanup_free_ char *text = NULL;
	struct error *error = NULL;
	struct world world;
	struct wish wish;

	start(&world, 1);
	network_shell(world.guest, "sysctl -qw net.core.somaxconn=555");
	wish_init(&wish, "box");
	(void)wish_add(&wish, 1, "eth0", 7);
	wish_add_setting(&wish, "core/somaxconn", "777");
	wish_add_setting(&wish, "ipv4/ip_default_ttl", "44");
	CHECK_OK(networks_apply(world.networks, world.guest, &spec, &wish.request, &error), &error);
	text =
	    network_output(world.guest, "cd /proc/sys/net; cat core/somaxconn ipv4/ip_default_ttl");
	CHECK_STRING(text, "555\n44\n");
	wish_done(&wish);
	stop(&world);
}

/* The kernel's words, and which route it is. */
static void test_words(void)
{
	_cleanup_free_ char *routes = NULL;
	struct error *error = NULL;
	struct world world;
	struct wish wish;

	start(&world, 1);
	network_shell(world.host,
		      "ip link add eth0 type veth peer name p0; ip link set eth0 up; ip link set "
		      "p0 up; ip addr add 10.1.0.5/24 dev eth0; ip route add 10.5.0.0/16 via "
		      "10.1.0.1; ip route add 10.77.0.0/16 dev eth0");
	wish_init(&wish, "box");
	(void)wish_add_link(&wish, 1, world.host, "eth0");
	wish_add_dump(&wish, world.host, RTM_GETROUTE, AF_INET);
	/* Without the address there is no way to the gateway. */
	CHECK_ERROR(apply(&world, &wish, &error), &error, "cannot add the route 10.");
	wish_done(&wish);
	/* What was added before the failure goes with the next request. */
	routes = network_output(world.guest, "ip route");
	CHECK_STRING(routes, "10.77.0.0/16 dev eth0 scope link \n");
	free(TAKE_PTR(routes));
	wish_init(&wish, "box");
	(void)wish_add_link(&wish, 1, world.host, "eth0");
	CHECK_OK(apply(&world, &wish, &error), &error);
	routes = network_output(world.guest, "ip route");
	CHECK_STRING(routes, "");
	wish_done(&wish);
	/* Without the route to it as well. */
	network_shell(world.host, "ip route del 10.1.0.0/24");
	wish_init(&wish, "box");
	(void)wish_add_link(&wish, 1, world.host, "eth0");
	wish_add_dump(&wish, world.host, RTM_GETROUTE, AF_INET);
	CHECK_ERROR(apply(&world, &wish, &error), &error,
		    "cannot add the route 10.5.0.0/16 via 10.1.0.1 dev eth0: Nexthop has invalid "
		    "gateway");
	wish_done(&wish);
	stop(&world);
}

static void test_ended(void)
{
	struct error *error = NULL;
	struct world world;
	struct wish wish;
	pid_t zombie;

	start(&world, 0);
	wish_init(&wish, "box");
	zombie = fork();
	if (zombie == 0)
		_exit(0);
	CHECK(waitid(P_PID, (id_t)zombie, &(siginfo_t){ 0 }, WEXITED | WNOWAIT) == 0);
	CHECK_ERROR(networks_apply(world.networks, zombie, &no_spec, &wish.request, &error), &error,
		    "container not running");
	CHECK(waitpid(zombie, NULL, 0) == zombie);
	CHECK_ERROR(networks_apply(world.networks, zombie, &no_spec, &wish.request, &error), &error,
		    "container not running");
	wish_done(&wish);
	stop(&world);
}

static void test_no_device(void)
{
	struct error *error = NULL;
	struct world world;
	struct wish wish;

	start(&world, 1);
	wish_init(&wish, "box");
	(void)wish_add(&wish, 9, "eth0", 7);
	CHECK_ERROR(apply(&world, &wish, &error), &error,
		    "the guest has no device with the address 02:00:00:00:00:09, which is to be "
		    "eth0");
	wish_done(&wish);
	stop(&world);
}

/* Each is refused, and changes nothing. */
static void refuse(const struct world *world, const struct wish *wish, const char *part)
{
	_cleanup_free_ char *links = NULL;
	struct error *error = NULL;

	CHECK_ERROR(apply(world, wish, &error), &error, part);
	links = network_output(world->guest, "ip -o link | wc -l");
	CHECK_STRING(links, "1\n");
}

static void test_bad_requests(void)
{
	static const char *const names[] = { "",    ".",   "..",  "a/b",
					     "a b", "a\n", "a:b", "abcdefghijklmnop" };
	static const char *const paths[] = { "",    "/x",      "..",	"ipv4/../x", "a//b",
					     "./a", "ipv4/..", "ipv4/", "../kernel" };
	struct world world;
	struct wish wish;

	start(&world, 2);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		wish_init(&wish, "box");
		(void)wish_add(&wish, 1, names[i], 7);
		refuse(&world, &wish, "is not an interface's name");
		wish_done(&wish);
	}
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		wish_init(&wish, "box");
		(void)wish_add(&wish, 1, "eth0", 7);
		wish_add_setting(&wish, paths[i], "1");
		refuse(&world, &wish, "is not a network setting");
		wish_done(&wish);
	}
	wish_init(&wish, "box");
	(void)wish_add(&wish, 1, "eth0", 7);
	(void)wish_add(&wish, 2, "eth0", 8);
	refuse(&world, &wish, "two interfaces are called eth0");
	wish.interfaces[1].name[3] = '1';
	wish.interfaces[1].index = 7;
	refuse(&world, &wish, "two interfaces have index 7");
	wish.interfaces[1].index = 8;
	wish.interfaces[1].slot.data[5] = 1;
	refuse(&world, &wish, "are one device");
	wish.interfaces[1].slot.len = 5;
	refuse(&world, &wish, "no Ethernet address");
	wish.interfaces[1].slot.len = 6;
	wish.interfaces[1].address.len = 20;
	refuse(&world, &wish, "no Ethernet address");
	wish.request.n_interfaces = 65;
	refuse(&world, &wish, "more than 64");
	wish.request.n_interfaces = 2;
	wish_done(&wish);
	stop(&world);
}

static bool is_taken(const void *bytes, size_t size, const struct network_map *map)
{
	struct network_object *object = NULL;
	struct error *error = NULL;
	_cleanup_free_ char *text = NULL;

	if (network_object_rebuild(bytes, size, map, &object, &error) < 0) {
		CHECK(error && !object);
		error_free(error);
		return false;
	}
	if (!object)
		return true;
	text = network_object_text(object, map);
	CHECK(strncmp(text, "the ", 4) == 0);
	network_object_free(object);
	return true;
}

/* Every cut and every changed byte of real objects: refused or taken, never worse. */
static void test_hostile_objects(void)
{
	struct network_index indices[16];
	const struct network_map map = { indices, ARRAY_SIZE(indices) };
	struct world world;
	struct wish whole;

	for (uint32_t i = 0; i < ARRAY_SIZE(indices); i++)
		indices[i] = (struct network_index){ i + 1, i + 100, "eth0" };
	start(&world, 0);
	furnish(&world);
	furnish_wish(&world, &whole);
	CHECK(whole.request.n_objects > 40);
	for (size_t i = 0; i < whole.request.n_objects; i++) {
		const ProtobufCBinaryData *object = &whole.objects[i];

		CHECK(is_taken(object->data, object->len, &map));
		for (size_t size = 0; size < object->len; size++) {
			_cleanup_free_ uint8_t *cut = size ? xmemdup(object->data, size) : NULL;
			uint32_t length = (uint32_t)size;

			CHECK(!is_taken(cut, size, &map));
			if (size < sizeof(length))
				continue;
			memcpy(cut, &length, sizeof(length));
			(void)is_taken(cut, size, &map);
		}
		for (size_t at = 0; at < object->len; at++)
			for (unsigned flip = 1; flip < 256; flip += 2) {
				object->data[at] ^= (uint8_t)flip;
				(void)is_taken(object->data, object->len, &map);
				object->data[at] ^= (uint8_t)flip;
			}
	}
	wish_done(&whole);
	stop(&world);
}

static void test_bad_objects(void)
{
	static const uint16_t types[] = { 0, NLMSG_ERROR, RTM_NEWLINK, RTM_DELROUTE, RTM_GETADDR };
	struct world world;
	struct wish whole, wish;
	struct nlmsghdr *header;

	start(&world, 1);
	furnish(&world);
	furnish_wish(&world, &whole);
	wish_init(&wish, "box");
	(void)wish_add(&wish, 1, "eth0", 7);
	wish_add_object(&wish, whole.objects[0].data, whole.objects[0].len);
	header = (struct nlmsghdr *)wish.objects[0].data;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		header->nlmsg_type = types[i];
		refuse(&world, &wish, "unexpected type");
	}
	header->nlmsg_type = RTM_NEWROUTE;
	header->nlmsg_len += 4;
	refuse(&world, &wish, "is not a message");
	header->nlmsg_len = 12;
	refuse(&world, &wish, "is not a message");
	header->nlmsg_len = (uint32_t)wish.objects[0].len;
	*(uint16_t *)(header + 1) = 0x2002; /* AF_INET, a prefix of 32 bits */
	((uint8_t *)(header + 1))[1] = 33;
	refuse(&world, &wish, "a network route has a bad prefix");
	((uint8_t *)(header + 1))[1] = 32;
	*(uint16_t *)((uint8_t *)(header + 1) + 12) = 0xffff; /* its first attribute */
	refuse(&world, &wish, "a network route ends within an attribute");
	wish_done(&wish);
	wish_done(&whole);
	stop(&world);
}

static const struct test_case cases[] = {
	{ "names", test_names },
	{ "taken name", test_taken_name },
	{ "mirror", test_mirror },
	{ "changes", test_changes },
	{ "out of reach", test_out_of_reach },
	{ "of others", test_of_others },
	{ "settings", test_settings },
	{ "settings of all", test_settings_of_all },
	{ "words", test_words },
	{ "ended", test_ended },
	{ "no device", test_no_device },
	{ "bad requests", test_bad_requests },
	{ "bad objects", test_bad_objects },
	{ "hostile objects", test_hostile_objects },
};

TEST_MAIN(cases)
