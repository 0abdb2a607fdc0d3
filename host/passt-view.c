/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's network behind passt: passt_view() of passt.h. */
#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "host/passt.h"

/* They stand for themselves: the agent translates them. */
enum { LOOPBACK = 1, ETH0 = 2 };

struct family {
	int family, size; /* bytes of an address */
	const char *address, *gateway;
	int prefix;
};

static const struct family families[] = {
	{ AF_INET, 4, PASST_GUEST_ADDRESS, PASST_GATEWAY, PASST_PREFIX },
	{ AF_INET6, 16, PASST_GUEST_ADDRESS6, PASST_GATEWAY6, PASST_PREFIX6 },
};

static struct nl_msg *new_message(int type, const void *header, size_t size)
{
	struct nl_msg *message = nlmsg_alloc_simple(type, 0);

	if (!message || nlmsg_append(message, (void *)header, size, NLMSG_ALIGNTO) < 0)
		abort(); /* out of memory, as for xmalloc() */
	return message;
}

static void put(struct nl_msg *message, int attribute, const void *bytes, int size)
{
	if (nla_put(message, attribute, size, bytes) < 0)
		abort();
}

static void keep(struct network_view *view, struct nl_msg *message)
{
	struct nlmsghdr *header = nlmsg_hdr(message);

	view->objects = xreallocarray(view->objects, view->n_objects + 1, sizeof(view->objects[0]));
	view->objects[view->n_objects++] =
	    (struct network_object){ xmemdup(header, header->nlmsg_len), header->nlmsg_len };
	nlmsg_free(message);
}

static void add_address(const struct family *family, struct network_view *view)
{
	const struct ifaddrmsg header = { .ifa_family = (uint8_t)family->family,
					  .ifa_prefixlen = (uint8_t)family->prefix,
					  .ifa_scope = RT_SCOPE_UNIVERSE,
					  .ifa_index = ETH0 };
	struct nl_msg *message = new_message(RTM_NEWADDR, &header, sizeof(header));
	uint8_t address[16];

	(void)inet_pton(family->family, family->address, address);
	put(message, IFA_ADDRESS, address, family->size);
	put(message, IFA_LOCAL, address, family->size);
	keep(view, message);
}

/* To the network, or (gateway) to everywhere. */
static void add_route(const struct family *family, bool gateway, struct network_view *view)
{
	const struct rtmsg header = {
		.rtm_family = (uint8_t)family->family,
		.rtm_dst_len = (uint8_t)(gateway ? 0 : family->prefix),
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = (uint8_t)(gateway || family->family == AF_INET6 ? RT_SCOPE_UNIVERSE
									     : RT_SCOPE_LINK),
		.rtm_type = RTN_UNICAST,
	};
	struct nl_msg *message = new_message(RTM_NEWROUTE, &header, sizeof(header));
	const int index = ETH0;
	uint8_t address[16];

	(void)inet_pton(family->family, family->gateway, address);
	if (gateway) {
		put(message, RTA_GATEWAY, address, family->size);
	} else {
		memset(address + family->prefix / 8, 0,
		       sizeof(address) - (size_t)family->prefix / 8);
		put(message, RTA_DST, address, family->size);
	}
	put(message, RTA_OIF, &index, sizeof(index));
	keep(view, message);
}

void passt_view(struct network_view *ret_view)
{
	static const struct network_interface interfaces[] = {
		{ .slot = -1, .index = LOOPBACK, .name = "lo", .mtu = 65536, .flags = IFF_UP },
		/* (Locally administered; seen by passt alone.) */
		{ .slot = 0,
		  .index = ETH0,
		  .name = "eth0",
		  .address = PASST_GUEST_HARDWARE_ADDRESS,
		  .mtu = PASST_MTU_MAX,
		  .flags = IFF_UP,
		  .queue_length = 1000 },
	};
	const unsigned available = passt_families();
	struct network_view view = { 0 };

	view.interfaces = xmemdup(interfaces, sizeof(interfaces));
	view.n_interfaces = ARRAY_SIZE(interfaces);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		if (!(available & (families[i].family == AF_INET ? PASST_IPV4 : PASST_IPV6)))
			continue;
		add_address(&families[i], &view);
		add_route(&families[i], false, &view);
		add_route(&families[i], true, &view);
	}
	*ret_view = view;
}
