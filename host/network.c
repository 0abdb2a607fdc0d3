/* SPDX-License-Identifier: Apache-2.0 */
/* The network of a machine: see network.h. */
#include "host/network.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/rtnetlink.h"
#include "host/network-join.h"
#include "host/network-links.h"
#include "host/network-settings.h"
#include "host/tap.h"

/* What changes meanwhile is looked at again. */
#define SCANS_MAX 8
/* Interfaces that stand on one, each with a tap of its own. */
#define UPPERS_MAX NETWORK_TAPS_MAX

struct network {
	int ns_fd;
	struct nl_sock *socket;
	struct nl_sock *events;
	struct {
		int tap;
		uint32_t joined; /* the interface's index; 0: none */
		uint32_t mtu;	 /* that the tap was given */
		bool lost;	 /* it has gone, maybe to come back without what joined it */
		bool removed;	 /* the tap, by somebody */
		struct network_upper uppers[UPPERS_MAX]; /* whose frames are not redirected */
		size_t n_uppers;
	} slots[NETWORK_TAPS_MAX];
	size_t n_slots;
	bool own; /* the host's own namespace: hands off */
	bool told_taken;
};

int network_new(const struct network_place *place, struct network **ret_network,
		struct error **ret_error)
{
	_cleanup_(network_freep) struct network *network = xcalloc(1, sizeof(*network));

	network->own = place->own;
	network->ns_fd = fcntl(place->ns_fd, F_DUPFD_CLOEXEC, 0);
	if (network->ns_fd < 0)
		return error_set_errno(ret_error, errno, "the network namespace");
	for (size_t i = 0; i < place->n_taps; i++)
		network->slots[network->n_slots++].tap = place->taps[i];
	if (rtnetlink_connect(place->ns_fd, &network->socket, ret_error) < 0 ||
	    rtnetlink_connect(place->ns_fd, &network->events, ret_error) < 0)
		return -1;
	if (nl_socket_add_memberships(network->events, RTNLGRP_LINK, RTNLGRP_NEIGH,
				      RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE,
				      RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV6_RULE,
				      RTNLGRP_NONE) < 0 ||
	    nl_socket_set_nonblocking(network->events) < 0)
		return error_set_errno(ret_error, errno, "cannot listen for rtnetlink's events");
	*ret_network = TAKE_PTR(network);
	return 0;
}

int network_namespace(const struct network *network)
{
	return network->ns_fd;
}

int network_fd(const struct network *network)
{
	return nl_socket_get_fd(network->events);
}

static void lose(struct network *network, uint32_t index)
{
	for (size_t i = 0; i < network->n_slots; i++)
		if (network->slots[i].joined == index)
			network->slots[i].lost = true;
}

/* An interface that leaves the namespace keeps its index and loses its filter. */
static void look_for_loss(struct network *network, const uint8_t *bytes, size_t size)
{
	struct nlmsghdr header;
	struct ifinfomsg link;

	if (size < NLMSG_HDRLEN + sizeof(link))
		return;
	memcpy(&header, bytes, sizeof(header));
	memcpy(&link, bytes + NLMSG_HDRLEN, sizeof(link));
	if (header.nlmsg_type == RTM_DELLINK && link.ifi_family == AF_UNSPEC)
		lose(network, (uint32_t)link.ifi_index);
}

void network_drain(struct network *network)
{
	uint8_t bytes[4096];
	ssize_t n;

	for (;;) {
		n = recv(network_fd(network), bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n >= 0)
			look_for_loss(network, bytes, (size_t)n);
		else if (errno == ENOBUFS) /* some were dropped; all is looked at anew anyway */
			for (size_t i = 0; i < network->n_slots; i++)
				network->slots[i].lost = true;
		else if (errno != EINTR)
			break;
	}
}

void network_view_done(struct network_view *view)
{
	for (size_t i = 0; i < view->n_objects; i++)
		free(view->objects[i].bytes);
	for (size_t i = 0; i < view->n_settings; i++) {
		free(view->settings[i].path);
		free(view->settings[i].value);
	}
	free(view->interfaces);
	free(view->objects);
	free(view->settings);
	*view = (struct network_view){ 0 };
}

/* ---- interfaces ---- */

struct links {
	struct network_link *links;
	size_t n;
};

static void add_link(void *data, const struct nlmsghdr *message)
{
	struct links *links = data;
	struct network_link link;

	if (!network_link_read(message, &link))
		return;
	links->links = xreallocarray(links->links, links->n + 1, sizeof(links->links[0]));
	links->links[links->n++] = link;
}

static void links_done(struct links *links)
{
	for (size_t i = 0; i < links->n; i++)
		network_link_done(&links->links[i]);
	free(links->links);
}

static bool is_loopback(const struct network_link *link)
{
	return link->type == ARPHRD_LOOPBACK;
}

int network_count(const char *path, size_t *ret_n, struct error **ret_error)
{
	_cleanup_close_ int ns_fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_(nl_socket_freep) struct nl_sock *socket = NULL;
	_cleanup_(links_done) struct links links = { 0 };

	*ret_n = 0;
	if (ns_fd < 0)
		return error_set_errno(ret_error, errno, "cannot join the network namespace %s",
				       path);
	if (network_is_own(ns_fd))
		return 0;
	if (rtnetlink_connect(ns_fd, &socket, ret_error) < 0)
		return error_wrap(ret_error, "cannot join the network namespace %s", path);
	if (rtnetlink_dump(socket, RTM_GETLINK, AF_UNSPEC, add_link, &links, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < links.n; i++)
		*ret_n += network_link_is_wanted(&links.links[i]);
	return 0;
}

/* ---- slots ---- */

/* Of that interface's index; 0: a free one. */
static int find_slot(const struct network *network, uint32_t index)
{
	for (size_t i = 0; i < network->n_slots; i++)
		if (network->slots[i].joined == index && (index || !network->slots[i].removed))
			return (int)i;
	return -1;
}

static const struct network_link *find_link(const struct links *links, uint32_t index)
{
	for (size_t i = 0; index && i < links->n; i++)
		if (links->links[i].interface.index == index)
			return &links->links[i];
	return NULL;
}

/* Of one that has become a bridge's the bridge is to hear. */
static void free_slots(struct network *network, const struct links *links)
{
	for (size_t i = 0; i < network->n_slots; i++) {
		const struct network_link *link = find_link(links, network->slots[i].joined);

		network->slots[i].removed = !find_link(links, (uint32_t)network->slots[i].tap);
		if (link && network_link_is_wanted(link))
			continue;
		if (link)
			network_part(network->socket, (int)network->slots[i].joined);
		network->slots[i].joined = 0;
	}
}

/* Indices are given in turn: those of our taps, made at once, tell when the machine came. */
static bool was_here_before(const struct network *network, uint32_t tap)
{
	for (size_t i = 0; i < network->n_slots; i++)
		if ((uint32_t)network->slots[i].tap <= tap)
			return false;
	return true;
}

/* A tap of the machine whose namespace it is; NULL: it is ours, even if others came later. */
static const char *other_machine(const struct network *network, const struct links *links)
{
	for (size_t i = 0; i < links->n; i++)
		if (links->links[i].tap &&
		    was_here_before(network, links->links[i].interface.index))
			return links->links[i].interface.name;
	return NULL;
}

static int no_slot(const struct network *network, const char *name, struct error **ret_error)
{
	_cleanup_close_ int fd = -1;
	_cleanup_error_ struct error *why = NULL;
	int index;

	if (network->n_slots == NETWORK_TAPS_MAX)
		return error_set(ret_error, E2BIG,
				 "the machine has %zu network devices, the most that it can have, "
				 "and none is left for the interface %s: remove an interface",
				 network->n_slots, name);
	if (network->n_slots > 0)
		return error_set(ret_error, E2BIG,
				 "the machine has %zu network devices, which is one too few for "
				 "the interface %s: \"interfaces\" in the configuration file",
				 network->n_slots, name);
	if (tap_new(1, &fd, &index, &why) == 0)
		return error_set(ret_error, ENODEV,
				 "the machine was made without network devices: none for the "
				 "interface %s",
				 name);
	return error_set(ret_error, why->code, "no network device for the interface %s: %s", name,
			 why->message);
}

/* What is joined stays so all the time: in between, the namespace's own stack would hear what is
 * the guest's, and reset its connections. */
static int connect_slot(struct network *network, int slot,
			const struct network_interface *interface, struct error **ret_error)
{
	const bool same =
	    network->slots[slot].joined == interface->index && !network->slots[slot].lost;
	const int tap = network->slots[slot].tap;

	/* (A machine's devices are made with it: the interface has none any more.) */
	if (network->slots[slot].removed)
		return 0;
	if (!same)
		return network_join(network->socket, (int)interface->index, tap, interface->mtu,
				    ret_error);
	if (network->slots[slot].mtu == interface->mtu)
		return 0;
	return network_join_mtu(network->socket, tap, interface->mtu, ret_error);
}

/* Its slot, joined to it. */
static int join(struct network *network, const struct network_interface *interface, int *ret_slot,
		struct error **ret_error)
{
	int slot = find_slot(network, interface->index);

	if (slot < 0)
		slot = find_slot(network, 0);
	if (slot < 0)
		return no_slot(network, interface->name, ret_error);
	*ret_slot = slot;
	if (connect_slot(network, slot, interface, ret_error) < 0)
		return error_wrap(ret_error, "the interface %s", interface->name);
	/* (What comes, or comes back, has none of our filters.) */
	if (network->slots[slot].joined != interface->index || network->slots[slot].lost)
		network->slots[slot].n_uppers = 0;
	network->slots[slot].joined = interface->index;
	network->slots[slot].mtu = interface->mtu;
	network->slots[slot].lost = false;
	return 0;
}

/* One that has the address of the one below (a macvlan in the mode "passthru") cannot be told from
 * it. */
static bool is_apart(const struct links *links, const struct network_link *link)
{
	const struct network_link *below = find_link(links, link->below);

	return link->upper.protocol || !below ||
	       memcmp(below->interface.address, link->upper.address, sizeof(link->upper.address)) !=
		   0;
}

/* The VLANs and macvlans of the namespace that stand on an interface get their frames as before. */
static int pass_uppers(struct network *network, int slot, const struct links *links,
		       struct error **ret_error)
{
	const uint32_t index = network->slots[slot].joined;
	struct network_upper uppers[UPPERS_MAX] = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < links->n && n < UPPERS_MAX; i++)
		if (links->links[i].below == index && is_apart(links, &links->links[i]))
			uppers[n++] = links->links[i].upper;
	if (n == network->slots[slot].n_uppers &&
	    memcmp(uppers, network->slots[slot].uppers, sizeof(uppers)) == 0)
		return 0;
	if (network_pass(network->socket, (int)index, network->slots[slot].tap, uppers, n,
			 ret_error) < 0)
		return -1;
	memcpy(network->slots[slot].uppers, uppers, sizeof(uppers));
	network->slots[slot].n_uppers = n;
	return 0;
}

static struct network_interface *add_interface(struct network_view *view,
					       const struct network_interface *interface)
{
	view->interfaces =
	    xreallocarray(view->interfaces, view->n_interfaces + 1, sizeof(view->interfaces[0]));
	view->interfaces[view->n_interfaces] = *interface;
	return &view->interfaces[view->n_interfaces++];
}

static void take_settings(struct network_link *link, struct network_view *view)
{
	if (link->n_settings == 0)
		return;
	view->settings = xreallocarray(view->settings, view->n_settings + link->n_settings,
				       sizeof(view->settings[0]));
	memcpy(view->settings + view->n_settings, link->settings,
	       link->n_settings * sizeof(link->settings[0]));
	view->n_settings += link->n_settings;
	link->n_settings = 0;
}

static int view_link(struct network *network, const struct links *links, struct network_link *link,
		     struct network_view *view, struct error **ret_error)
{
	struct network_interface *interface;
	int slot = -1;

	if (!is_loopback(link) && !network_link_is_wanted(link))
		return 0;
	if (!is_loopback(link) && link->type != ARPHRD_ETHER)
		return error_set(ret_error, ENOTSUP,
				 "the interface %s cannot be given to a machine: it is "
				 "not an Ethernet device (type %d)",
				 link->interface.name, link->type);
	if (!is_loopback(link) && (join(network, &link->interface, &slot, ret_error) < 0 ||
				   pass_uppers(network, slot, links, ret_error) < 0))
		return -1;
	interface = add_interface(view, &link->interface);
	interface->slot = slot;
	interface->no_carrier |= slot >= 0 && network->slots[slot].removed;
	/* Nobody may have thought of it in the namespace; a container has it up, as under runc. */
	if (is_loopback(link))
		interface->flags |= IFF_UP;
	if (slot >= 0)
		take_settings(link, view);
	return 0;
}

/* ---- objects ---- */

static void keep_object(struct network_view *view, const struct nlmsghdr *message)
{
	view->objects = xreallocarray(view->objects, view->n_objects + 1, sizeof(view->objects[0]));
	view->objects[view->n_objects++] =
	    (struct network_object){ xmemdup(message, message->nlmsg_len), message->nlmsg_len };
}

static void add_address(void *data, const struct nlmsghdr *message)
{
	if (message->nlmsg_type == RTM_NEWADDR)
		keep_object(data, message);
}

static uint32_t route_table(const struct nlmsghdr *message)
{
	struct nlmsghdr *readable = (struct nlmsghdr *)message;
	struct nlattr *table = nlmsg_find_attr(readable, sizeof(struct rtmsg), RTA_TABLE);

	return table ? nla_get_u32(table) : ((const struct rtmsg *)nlmsg_data(readable))->rtm_table;
}

/* Of its own, in the table "local", the kernel makes routes of addresses. (Earlier ones than Linux
 * 4.17 do not say so for IPv6.) */
static bool is_of_address(const struct nlmsghdr *message, const struct rtmsg *route)
{
	return route_table(message) == RT_TABLE_LOCAL &&
	       (route->rtm_protocol == RTPROT_KERNEL || route->rtm_protocol == RTPROT_UNSPEC);
}

/* What is cloned is made of other routes. */
static void add_route(void *data, const struct nlmsghdr *message)
{
	const struct rtmsg *route = nlmsg_data((struct nlmsghdr *)message);

	if (message->nlmsg_type == RTM_NEWROUTE && !(route->rtm_flags & RTM_F_CLONED) &&
	    !is_of_address(message, route) && route->rtm_type != RTN_MULTICAST)
		keep_object(data, message);
}

static void add_neighbour(void *data, const struct nlmsghdr *message)
{
	const struct ndmsg *neighbour = nlmsg_data((struct nlmsghdr *)message);

	if (message->nlmsg_type == RTM_NEWNEIGH &&
	    (neighbour->ndm_state & NUD_PERMANENT || neighbour->ndm_flags & NTF_PROXY) &&
	    (neighbour->ndm_family == AF_INET || neighbour->ndm_family == AF_INET6))
		keep_object(data, message);
}

/* (The kernel's own three are in every namespace.) */
static void add_rule(void *data, const struct nlmsghdr *message)
{
	struct nlmsghdr *readable = (struct nlmsghdr *)message;
	struct nlattr *protocol = nlmsg_find_attr(readable, sizeof(struct rtmsg), FRA_PROTOCOL);

	if (message->nlmsg_type == RTM_NEWRULE &&
	    (!protocol || nla_get_u8(protocol) != RTPROT_KERNEL))
		keep_object(data, message);
}

static int view_objects(struct network *network, struct network_view *view,
			struct error **ret_error)
{
	static const struct {
		int type, family;
		rtnetlink_each_fn add;
	} kinds[] = {
		{ RTM_GETADDR, AF_UNSPEC, add_address }, { RTM_GETROUTE, AF_INET, add_route },
		{ RTM_GETROUTE, AF_INET6, add_route },	 { RTM_GETNEIGH, AF_UNSPEC, add_neighbour },
		{ RTM_GETRULE, AF_INET, add_rule },	 { RTM_GETRULE, AF_INET6, add_rule },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (rtnetlink_dump(network->socket, kinds[i].type, kinds[i].family, kinds[i].add,
				   view, ret_error) < 0)
			return -1;
	return rtnetlink_dump_proxies(network->socket, add_neighbour, view, ret_error);
}

/* ---- all of it ---- */

static int scan_links(struct network *network, struct links *links, struct network_view *view,
		      struct error **ret_error)
{
	const char *other = network->own ? NULL : other_machine(network, links);

	if (other && !network->told_taken)
		log_warning("another machine lives in the network namespace (its tap %s is there): "
			    "this one has no network",
			    other);
	network->told_taken = other;
	if (other || network->own)
		return 0;
	free_slots(network, links);
	if (network_settings_read(network->ns_fd, view, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < links->n; i++)
		if (view_link(network, links, &links->links[i], view, ret_error) < 0)
			return -1;
	return view_objects(network, view, ret_error);
}

static bool has_gone(const struct network *network, const struct links *links)
{
	_cleanup_(links_done) struct links now = { 0 };

	if (rtnetlink_dump(network->socket, RTM_GETLINK, AF_UNSPEC, add_link, &now, NULL) < 0)
		return false;
	for (size_t i = 0; i < links->n; i++)
		if (!find_link(&now, links->links[i].interface.index))
			return true;
	return false;
}

/* *ret_again: an interface has gone while it was looked at, which may be all that is wrong. */
static int scan_once(struct network *network, struct network_view *view, bool *ret_again,
		     struct error **ret_error)
{
	_cleanup_(links_done) struct links links = { 0 };

	*ret_again = false;
	if (rtnetlink_dump(network->socket, RTM_GETLINK, AF_UNSPEC, add_link, &links, ret_error) <
	    0)
		return -1;
	if (scan_links(network, &links, view, ret_error) == 0)
		return 0;
	*ret_again = has_gone(network, &links);
	return -1;
}

int network_scan(struct network *network, struct network_view *ret_view, struct error **ret_error)
{
	for (int i = 1;; i++) {
		_cleanup_(network_view_done) struct network_view view = { 0 };
		_cleanup_error_ struct error *error = NULL;
		bool again;

		if (scan_once(network, &view, &again, &error) == 0) {
			*ret_view = view;
			view = (struct network_view){ 0 };
			return 0;
		}
		if (!again || i == SCANS_MAX)
			return error_set(ret_error, error->code, "%s", error->message);
	}
}

/* ---- the end ---- */

static bool is_own_tap(const struct network *network, uint32_t index)
{
	for (size_t i = 0; i < network->n_slots; i++)
		if ((uint32_t)network->slots[i].tap == index)
			return true;
	return false;
}

/* But another machine may have what was ours already. */
static void part_all(struct network *network)
{
	_cleanup_(links_done) struct links links = { 0 };

	if (rtnetlink_dump(network->socket, RTM_GETLINK, AF_UNSPEC, add_link, &links, NULL) < 0)
		return;
	for (size_t i = 0; i < links.n; i++)
		if (links.links[i].tap && !is_own_tap(network, links.links[i].interface.index))
			return;
	for (size_t i = 0; i < network->n_slots; i++)
		if (find_link(&links, network->slots[i].joined))
			network_part(network->socket, (int)network->slots[i].joined);
}

void network_free(struct network *network)
{
	if (!network)
		return;
	if (network->socket)
		part_all(network);
	nl_socket_free(network->socket);
	nl_socket_free(network->events);
	close_fdp(&network->ns_fd);
	free(network);
}
