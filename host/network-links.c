/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces: see network-links.h. */
#include "host/network-links.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "host/tap.h"

/*
 * What the stack is told of an interface apart from addresses and routes
 * (linux: networking/ip-sysctl), with its place in the list that comes with the link; but
 * nothing for the namespace as a whole.
 */
static const struct {
	const char *name;
	int place;
} settings_v4[] = {
	/* (uapi: the list begins with number 1.) */
	{ "forwarding", IPV4_DEVCONF_FORWARDING - 1 },
	{ "rp_filter", IPV4_DEVCONF_RP_FILTER - 1 },
	{ "proxy_arp", IPV4_DEVCONF_PROXY_ARP - 1 },
	{ "arp_announce", IPV4_DEVCONF_ARP_ANNOUNCE - 1 },
	{ "arp_ignore", IPV4_DEVCONF_ARP_IGNORE - 1 },
	{ "arp_notify", IPV4_DEVCONF_ARP_NOTIFY - 1 },
	{ "accept_local", IPV4_DEVCONF_ACCEPT_LOCAL - 1 },
	{ "route_localnet", IPV4_DEVCONF_ROUTE_LOCALNET - 1 },
	{ "accept_redirects", IPV4_DEVCONF_ACCEPT_REDIRECTS - 1 },
	{ "send_redirects", IPV4_DEVCONF_SEND_REDIRECTS - 1 },
}, settings_v6[] = {
	{ "disable_ipv6", DEVCONF_DISABLE_IPV6 },
	{ "forwarding", DEVCONF_FORWARDING },
	{ "accept_ra", DEVCONF_ACCEPT_RA },
	{ "autoconf", DEVCONF_AUTOCONF },
	{ "accept_dad", DEVCONF_ACCEPT_DAD },
	{ "accept_redirects", DEVCONF_ACCEPT_REDIRECTS },
	{ "proxy_ndp", DEVCONF_PROXY_NDP },
};

static void add_setting(struct network_link *link, const char *family, const char *name,
			int32_t value)
{
	struct network_setting *setting;

	link->settings =
	    xreallocarray(link->settings, link->n_settings + 1, sizeof(link->settings[0]));
	setting = &link->settings[link->n_settings++];
	setting->path = xasprintf("%s/conf/%s/%s", family, link->interface.name, name);
	setting->value = xasprintf("%d", value);
}

static const int32_t *list_of(struct nlattr *families, int family, int list, size_t *ret_n)
{
	struct nlattr *attribute =
	    families ? nla_find(nla_data(families), nla_len(families), family) : NULL;

	if (attribute)
		attribute = nla_find(nla_data(attribute), nla_len(attribute), list);
	*ret_n = attribute ? (size_t)nla_len(attribute) / sizeof(int32_t) : 0;
	return attribute ? nla_data(attribute) : NULL;
}

static void read_settings(struct nlattr *families, struct network_link *link)
{
	size_t n;
	const int32_t *list = list_of(families, AF_INET, IFLA_INET_CONF, &n);

	for (size_t i = 0; i < ARRAY_SIZE(settings_v4); i++)
		if ((size_t)settings_v4[i].place < n)
			add_setting(link, "ipv4", settings_v4[i].name, list[settings_v4[i].place]);
	list = list_of(families, AF_INET6, IFLA_INET6_CONF, &n);
	for (size_t i = 0; i < ARRAY_SIZE(settings_v6); i++)
		if ((size_t)settings_v6[i].place < n)
			add_setting(link, "ipv6", settings_v6[i].name, list[settings_v6[i].place]);
}

static bool is_kind(struct nlattr *info, const char *name)
{
	struct nlattr *kind = info ? nla_find(nla_data(info), nla_len(info), IFLA_INFO_KIND) : NULL;

	return kind && nla_strcmp(kind, name) == 0;
}

static bool is_tap(const char *name, struct nlattr *info)
{
	return is_kind(info, "tun") && strncmp(name, TAP_PREFIX, strlen(TAP_PREFIX)) == 0 &&
	       isdigit((unsigned char)name[strlen(TAP_PREFIX)]);
}

/* Of a VLAN: its tag. */
static void read_vlan(struct nlattr *info, struct network_link *link, uint32_t below)
{
	struct nlattr *data, *id, *protocol;

	data = nla_find(nla_data(info), nla_len(info), IFLA_INFO_DATA);
	id = data ? nla_find(nla_data(data), nla_len(data), IFLA_VLAN_ID) : NULL;
	protocol = data ? nla_find(nla_data(data), nla_len(data), IFLA_VLAN_PROTOCOL) : NULL;
	if (!id || !protocol)
		return;
	link->below = below;
	link->upper.protocol = ntohs(nla_get_u16(protocol));
	link->upper.id = nla_get_u16(id);
}

/* Of one whose frames are some of another interface's of the namespace. */
static void read_upper(struct nlattr *const *attributes, struct network_link *link)
{
	struct nlattr *info = attributes[IFLA_LINKINFO];

	if (!attributes[IFLA_LINK] || attributes[IFLA_LINK_NETNSID])
		return;
	if (is_kind(info, "vlan")) {
		read_vlan(info, link, nla_get_u32(attributes[IFLA_LINK]));
	} else if (is_kind(info, "macvlan")) {
		link->below = nla_get_u32(attributes[IFLA_LINK]);
		memcpy(link->upper.address, link->interface.address, sizeof(link->upper.address));
	}
}

bool network_link_is_wanted(const struct network_link *link)
{
	const bool up = link->interface.flags & IFF_UP;

	if (link->type == ARPHRD_LOOPBACK || link->tap || link->member)
		return false;
	return link->type == ARPHRD_ETHER ? up || !link->tunnel : up;
}

bool network_link_read(const struct nlmsghdr *message, struct network_link *ret_link)
{
	struct nlmsghdr *readable = (struct nlmsghdr *)message;
	struct nlattr *attributes[IFLA_MAX + 1];
	const struct ifinfomsg *info = nlmsg_data(readable);
	struct network_link link = { .interface.slot = -1 };
	struct network_interface *interface = &link.interface;

	if (message->nlmsg_type != RTM_NEWLINK ||
	    nlmsg_parse(readable, sizeof(*info), attributes, IFLA_MAX, NULL) < 0 ||
	    !attributes[IFLA_IFNAME])
		return false;
	interface->index = (uint32_t)info->ifi_index;
	interface->flags = info->ifi_flags & (IFF_UP | IFF_NOARP);
	link.type = info->ifi_type;
	(void)nla_strlcpy(interface->name, attributes[IFLA_IFNAME], sizeof(interface->name));
	if (attributes[IFLA_ADDRESS])
		(void)nla_memcpy(interface->address, attributes[IFLA_ADDRESS],
				 sizeof(interface->address));
	if (attributes[IFLA_MTU])
		interface->mtu = nla_get_u32(attributes[IFLA_MTU]);
	if (attributes[IFLA_TXQLEN])
		interface->queue_length = nla_get_u32(attributes[IFLA_TXQLEN]);
	if (attributes[IFLA_CARRIER])
		interface->no_carrier =
		    interface->flags & IFF_UP && nla_get_u8(attributes[IFLA_CARRIER]) == 0;
	link.member = attributes[IFLA_MASTER] != NULL;
	link.tap = is_tap(interface->name, attributes[IFLA_LINKINFO]);
	link.tunnel = is_kind(attributes[IFLA_LINKINFO], "gretap") ||
		      is_kind(attributes[IFLA_LINKINFO], "erspan");
	read_upper(attributes, &link);
	read_settings(attributes[IFLA_AF_SPEC], &link);
	*ret_link = link;
	return true;
}

void network_link_done(struct network_link *link)
{
	for (size_t i = 0; i < link->n_settings; i++) {
		free(link->settings[i].path);
		free(link->settings[i].value);
	}
	free(link->settings);
}
