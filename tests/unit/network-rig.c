/* SPDX-License-Identifier: Apache-2.0 */
/* See network-rig.h. */
#include "tests/unit/network-rig.h"

#include <fcntl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/socket.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/netlink.h"
#include "base/alloc.h"
#include "tests/unit/test.h"

void network_rig_start(void)
{
	if (geteuid() != 0)
		test_skip("needs root");
	if (unshare(CLONE_NEWNET) < 0)
		test_skip("cannot make network namespaces here");
	if (system("ip link set lo up && command -v nsenter >/dev/null") != 0)
		test_skip("needs ip(8) and nsenter(1)");
	if (system("ip link add name one type veth peer name two && ip link del one") != 0)
		test_skip("needs veth");
}

pid_t network_namespace_new(void)
{
	int ready[2];
	char byte;
	pid_t pid;

	(void)fflush(NULL);
	CHECK(pipe2(ready, O_CLOEXEC) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	(void)close(ready[1]);
	CHECK(read(ready[0], &byte, 1) == 1);
	(void)close(ready[0]);
	return pid;
}

void network_namespace_end(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

static char *command_in(pid_t pid, const char *script)
{
	return pid ? xasprintf("exec nsenter --net=/proc/%d/ns/net sh -ec '%s'", (int)pid, script)
		   : xasprintf("exec sh -ec '%s'", script);
}

void network_shell(pid_t pid, const char *format, ...)
{
	_cleanup_free_ char *script = NULL, *command = NULL;
	va_list args;

	va_start(args, format);
	script = xvasprintf(format, args);
	va_end(args);
	command = command_in(pid, script);
	if (system(command) != 0)
		test_fail(__FILE__, __LINE__, "failed: %s", script);
}

char *network_output(pid_t pid, const char *format, ...)
{
	_cleanup_free_ char *script = NULL, *command = NULL;
	char text[65536];
	va_list args;
	FILE *pipe;
	size_t n;

	va_start(args, format);
	script = xvasprintf(format, args);
	va_end(args);
	command = command_in(pid, script);
	pipe = popen(command, "re");
	CHECK(pipe != NULL);
	n = fread(text, 1, sizeof(text) - 1, pipe);
	text[n] = '\0';
	(void)pclose(pipe);
	return xstrdup(text);
}

void network_device_new(unsigned number)
{
	network_shell(0,
		      "ip link add nic%u address 02:00:00:00:00:%02x type veth peer name peer%u; "
		      "echo 1 >/proc/sys/net/ipv6/conf/peer%u/disable_ipv6; ip link set peer%u up",
		      number, number, number, number, number);
}

void wish_init(struct wish *wish, const char *id)
{
	memset(wish, 0, sizeof(*wish));
	agent__network_request__init(&wish->request);
	wish->request.id = (char *)id;
	wish->request.interfaces = wish->interface_pointers;
	wish->request.settings = wish->setting_pointers;
	wish->request.objects = wish->objects;
}

void wish_done(struct wish *wish)
{
	for (size_t i = 0; i < wish->request.n_objects; i++)
		free(wish->objects[i].data);
	for (size_t i = 0; i < wish->request.n_interfaces; i++)
		free(wish->interfaces[i].name);
}

Agent__Interface *wish_add(struct wish *wish, unsigned number, const char *name, uint32_t index)
{
	size_t n = wish->request.n_interfaces++;
	Agent__Interface *interface = wish->interface_pointers[n] = &wish->interfaces[n];

	CHECK(n < WISH_ITEMS_MAX);
	agent__interface__init(interface);
	interface->name = xstrdup(name);
	interface->index = index;
	interface->flags = IFF_UP;
	if (number == 0)
		return interface;
	wish->bytes[n][0][0] = 2;
	wish->bytes[n][0][5] = (uint8_t)number;
	interface->slot = (ProtobufCBinaryData){ 6, wish->bytes[n][0] };
	memcpy(wish->bytes[n][1], wish->bytes[n][0], 6);
	interface->address = (ProtobufCBinaryData){ 6, wish->bytes[n][1] };
	return interface;
}

/* Ours, to go back to; -1 for pid 0. */
static int enter(pid_t pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/ns/net", (int)pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	int own_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0 && own_fd >= 0 && setns(fd, CLONE_NEWNET) == 0);
	return own_fd;
}

static void leave(int own_fd)
{
	CHECK(setns(own_fd, CLONE_NEWNET) == 0);
	(void)close(own_fd);
}

Agent__Interface *wish_add_link(struct wish *wish, unsigned number, pid_t host, const char *name)
{
	Agent__Interface *interface = wish_add(wish, number, name, 0);
	_cleanup_(netlink_freep) struct netlink *netlink = NULL;
	_cleanup_(netlink_links_done) struct netlink_links links = { 0 };
	struct error *error = NULL;
	int own_fd = enter(host);

	CHECK_OK(netlink_open(&netlink, &error), &error);
	leave(own_fd);
	CHECK_OK(netlink_list_links(netlink, &links, &error), &error);
	for (size_t i = 0; i < links.n_links; i++) {
		const struct netlink_link *link = &links.links[i];

		if (strcmp(link->name, name) != 0)
			continue;
		interface->index = link->index;
		interface->mtu = link->mtu;
		interface->queue_length = link->queue_length;
		interface->flags = link->flags & (IFF_UP | IFF_NOARP | IFF_ALLMULTI | IFF_PROMISC);
		if (number)
			memcpy(interface->address.data, link->address, sizeof(link->address));
	}
	CHECK(interface->index > 0);
	return interface;
}

void wish_add_setting(struct wish *wish, const char *path, const char *value)
{
	size_t n = wish->request.n_settings++;
	Agent__NetworkSetting *setting = wish->setting_pointers[n] = &wish->settings[n];

	CHECK(n < WISH_ITEMS_MAX);
	agent__network_setting__init(setting);
	setting->path = (char *)path;
	setting->value = (char *)value;
}

void wish_add_object(struct wish *wish, const void *bytes, size_t size)
{
	ProtobufCBinaryData *object = &wish->objects[wish->request.n_objects++];

	CHECK(wish->request.n_objects <= WISH_OBJECTS_MAX);
	object->len = size;
	object->data = xmemdup(bytes, size);
}

static int keep(struct nl_msg *message, void *data)
{
	const struct nlmsghdr *header = nlmsg_hdr(message);

	wish_add_object(data, header, header->nlmsg_len);
	return NL_OK;
}

static void add_dump(struct wish *wish, pid_t host, int type, void *body, size_t size)
{
	struct nl_sock *socket = nl_socket_alloc();
	int own_fd = enter(host);

	CHECK(socket && nl_connect(socket, NETLINK_ROUTE) == 0);
	leave(own_fd);
	nl_socket_disable_auto_ack(socket);
	(void)nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, keep, wish);
	CHECK(nl_send_simple(socket, type, NLM_F_DUMP, body, size) >= 0);
	CHECK(nl_recvmsgs_default(socket) >= 0);
	nl_socket_free(socket);
}

void wish_add_dump(struct wish *wish, pid_t host, int type, int family)
{
	struct rtgenmsg general = { .rtgen_family = (uint8_t)family };
	struct ndmsg proxies = { .ndm_family = (uint8_t)family, .ndm_flags = NTF_PROXY };

	add_dump(wish, host, type, &general, sizeof(general));
	/* Those are a dump of their own. */
	if (type == RTM_GETNEIGH)
		add_dump(wish, host, type, &proxies, sizeof(proxies));
}

void wish_add_all(struct wish *wish, pid_t host)
{
	static const int types[] = { RTM_GETROUTE, RTM_GETRULE, RTM_GETNEIGH, RTM_GETADDR };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		wish_add_dump(wish, host, types[i], AF_INET);
		wish_add_dump(wish, host, types[i], AF_INET6);
	}
}
