/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rebuilding an object for the guest: see network-object.h.
 *
 * A table says for each kind of message what becomes of each attribute. What is in none of them is
 * dropped: it is of dumps only (RTA_CACHEINFO, NDA_PROBES, …), or of things that the guest does not
 * have (RTA_NH_ID: the next hops themselves are in the dump as well).
 */
#include "agent/network-object.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/log.h"

#define OBJECT_SIZE_MAX 65536
#define NEXT_HOP_FLAGS (RTNH_F_ONLINK | RTNH_F_PERVASIVE)

enum treatment {
	DROP,
	COPY,
	NUMBER,	 /* 32 bits */
	ADDRESS, /* of the message's family */
	INDEX,	 /* of an interface */
	NAME,	 /* of an interface, or a label */
	NEXT_HOPS,
	PRIORITY,  /* FRA_PRIORITY */
	PROTOCOL,  /* FRA_PROTOCOL: who made it */
	FLAGS,	   /* IFA_FLAGS */
	LIFETIMES, /* IFA_CACHEINFO */
};

static const uint8_t address_attributes[] = {
	[IFA_ADDRESS] = ADDRESS,    [IFA_LOCAL] = ADDRESS, [IFA_LABEL] = NAME,
	[IFA_BROADCAST] = ADDRESS,  [IFA_FLAGS] = FLAGS,   [IFA_CACHEINFO] = LIFETIMES,
	[IFA_RT_PRIORITY] = NUMBER,
};
static const uint8_t neighbour_attributes[] = {
	[NDA_DST] = ADDRESS,
	[NDA_LLADDR] = COPY,
	[NDA_PROTOCOL] = COPY,
};
static const uint8_t route_attributes[] = {
	[RTA_DST] = ADDRESS,	    [RTA_SRC] = ADDRESS,     [RTA_IIF] = INDEX,
	[RTA_OIF] = INDEX,	    [RTA_GATEWAY] = ADDRESS, [RTA_PRIORITY] = NUMBER,
	[RTA_PREFSRC] = ADDRESS,    [RTA_METRICS] = COPY,    [RTA_MULTIPATH] = NEXT_HOPS,
	[RTA_FLOW] = NUMBER,	    [RTA_TABLE] = NUMBER,    [RTA_VIA] = COPY,
	[RTA_PREF] = COPY,	    [RTA_ENCAP_TYPE] = COPY, [RTA_ENCAP] = COPY,
	[RTA_TTL_PROPAGATE] = COPY,
};
static const uint8_t rule_attributes[] = {
	[FRA_DST] = ADDRESS,
	[FRA_SRC] = ADDRESS,
	[FRA_IIFNAME] = NAME,
	[FRA_GOTO] = NUMBER,
	[FRA_PRIORITY] = PRIORITY,
	[FRA_FWMARK] = NUMBER,
	[FRA_FLOW] = NUMBER,
	[FRA_TUN_ID] = COPY,
	[FRA_SUPPRESS_IFGROUP] = NUMBER,
	[FRA_SUPPRESS_PREFIXLEN] = NUMBER,
	[FRA_TABLE] = NUMBER,
	[FRA_FWMASK] = NUMBER,
	[FRA_OIFNAME] = NAME,
	[FRA_L3MDEV] = COPY,
	[FRA_UID_RANGE] = COPY,
	[FRA_PROTOCOL] = PROTOCOL,
	[FRA_IP_PROTO] = COPY,
	[FRA_SPORT_RANGE] = COPY,
	[FRA_DPORT_RANGE] = COPY,
};

/* An object on its way. */
struct rebuild {
	enum network_kind kind;
	const struct network_map *map;
	const struct nlmsghdr *from;
	struct nl_msg *message;
	uint8_t family;
	uint32_t address_flags;
	bool has_priority;
	const char *skip; /* why there is no such object in the guest; NULL: there is */
};

static int fix_address(struct rebuild *rebuild, void *body);
static int fix_neighbour(struct rebuild *rebuild, void *body);
static int fix_route(struct rebuild *rebuild, void *body);
static int fix_rule(struct rebuild *rebuild, void *body);

static const struct {
	const char *name;
	uint16_t type;
	int flags; /* NLM_F_… */
	size_t body_size;
	int (*fix)(struct rebuild *rebuild, void *body); /* -1: the body is wrong */
	const uint8_t *attributes;
	size_t n_attributes;
} kinds[NETWORK_KINDS] = {
	[NETWORK_ADDRESS] = { "address", RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE,
			      sizeof(struct ifaddrmsg), fix_address, address_attributes,
			      ARRAY_SIZE(address_attributes) },
	[NETWORK_NEIGHBOUR] = { "neighbour", RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE,
				sizeof(struct ndmsg), fix_neighbour, neighbour_attributes,
				ARRAY_SIZE(neighbour_attributes) },
	/* IPv4 has several routes of one destination and metric if they are appended. */
	[NETWORK_ROUTE] = { "route", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND,
			    sizeof(struct rtmsg), fix_route, route_attributes,
			    ARRAY_SIZE(route_attributes) },
	[NETWORK_RULE] = { "rule", RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL,
			   sizeof(struct fib_rule_hdr), fix_rule, rule_attributes,
			   ARRAY_SIZE(rule_attributes) },
};

static uint8_t address_size(const struct rebuild *rebuild)
{
	return rebuild->family == AF_INET ? 4 : 16;
}

/* False: the object is about an interface that the guest does not have. */
static bool translate(struct rebuild *rebuild, uint32_t host, uint32_t *ret_guest)
{
	for (size_t i = 0; host && i < rebuild->map->n_indices; i++)
		if (rebuild->map->indices[i].host == host) {
			*ret_guest = rebuild->map->indices[i].guest;
			return true;
		}
	rebuild->skip = "its interface is not the guest's";
	return false;
}

static int fix_address(struct rebuild *rebuild, void *body)
{
	struct ifaddrmsg *address = body;
	uint32_t index = 0;

	rebuild->address_flags = address->ifa_flags;
	address->ifa_flags = 0;
	if (translate(rebuild, address->ifa_index, &index))
		address->ifa_index = index;
	return address->ifa_prefixlen <= 8 * address_size(rebuild) ? 0 : -1;
}

static int fix_neighbour(struct rebuild *rebuild, void *body)
{
	struct ndmsg *neighbour = body;
	uint32_t index = 0;

	neighbour->ndm_flags &= NTF_PROXY | NTF_ROUTER;
	if (!(neighbour->ndm_state & NUD_PERMANENT) && !(neighbour->ndm_flags & NTF_PROXY))
		rebuild->skip = "it is not permanent";
	else if (translate(rebuild, (uint32_t)neighbour->ndm_ifindex, &index))
		neighbour->ndm_ifindex = (int)index;
	return 0;
}

static int fix_route(struct rebuild *rebuild, void *body)
{
	struct rtmsg *route = body;

	route->rtm_flags &= NEXT_HOP_FLAGS;
	if (((const struct rtmsg *)nlmsg_data(rebuild->from))->rtm_flags & RTM_F_CLONED)
		rebuild->skip = "it is a cached one";
	else if (route->rtm_table == RT_TABLE_LOCAL && route->rtm_protocol == RTPROT_KERNEL)
		rebuild->skip = "the kernel makes it with its address";
	return route->rtm_dst_len <= 8 * address_size(rebuild) &&
		       route->rtm_src_len <= 8 * address_size(rebuild)
		   ? 0
		   : -1;
}

static int fix_rule(struct rebuild *rebuild, void *body)
{
	struct fib_rule_hdr *rule = body;

	rule->flags &= FIB_RULE_INVERT;
	rule->res1 = rule->res2 = 0;
	return rule->dst_len <= 8 * address_size(rebuild) &&
		       rule->src_len <= 8 * address_size(rebuild)
		   ? 0
		   : -1;
}

/* The gateways of a route: each has attributes of its own, and needs a place to go to. */
static int put_next_hops(struct rebuild *rebuild, const struct nlattr *attribute)
{
	_cleanup_free_ uint8_t *bytes = xmemdup(nla_data(attribute), (size_t)nla_len(attribute));
	size_t left = (size_t)nla_len(attribute), at = 0;
	uint32_t index = 0;

	while (left - at >= sizeof(struct rtnexthop)) {
		struct rtnexthop *hop = (struct rtnexthop *)(bytes + at);
		struct nlattr *inner = (struct nlattr *)(hop + 1);
		int inner_size;

		if (hop->rtnh_len < sizeof(*hop) || hop->rtnh_len > left - at)
			return -1;
		inner_size = hop->rtnh_len - (int)sizeof(*hop);
		for (; nla_ok(inner, inner_size); inner = nla_next(inner, &inner_size))
			if (nla_type(inner) == RTA_GATEWAY &&
			    nla_len(inner) != address_size(rebuild))
				return -1;
		if (inner_size > 0)
			return -1;
		hop->rtnh_flags &= NEXT_HOP_FLAGS;
		if (!translate(rebuild, (uint32_t)hop->rtnh_ifindex, &index))
			return 0;
		hop->rtnh_ifindex = (int)index;
		if ((size_t)RTNH_ALIGN(hop->rtnh_len) >= left - at) {
			at = left;
			break;
		}
		at += (size_t)RTNH_ALIGN(hop->rtnh_len);
	}
	if (at != left || left == 0)
		return -1;
	return nla_put(rebuild->message, RTA_MULTIPATH, (int)left, bytes);
}

/* As long as the host's; the kernel refuses an address that is not valid at all. */
static int put_lifetimes(struct rebuild *rebuild, const struct nlattr *attribute)
{
	struct ifa_cacheinfo from, to = { 0 };

	if (nla_len(attribute) < (int)sizeof(from))
		return -1;
	memcpy(&from, nla_data(attribute), sizeof(from));
	to.ifa_valid = from.ifa_valid;
	to.ifa_prefered = from.ifa_prefered < from.ifa_valid ? from.ifa_prefered : from.ifa_valid;
	if (to.ifa_valid == 0)
		rebuild->skip = "its lifetime is over";
	return nla_put(rebuild->message, IFA_CACHEINFO, sizeof(to), &to);
}

/* A route to nowhere has no interface, whatever a dump says of IPv6's. */
static bool leads_nowhere(const struct rebuild *rebuild)
{
	const struct rtmsg *route = nlmsg_data(rebuild->from);

	return route->rtm_type == RTN_BLACKHOLE || route->rtm_type == RTN_UNREACHABLE ||
	       route->rtm_type == RTN_PROHIBIT || route->rtm_type == RTN_THROW;
}

static int put_index(struct rebuild *rebuild, const struct nlattr *attribute)
{
	uint32_t index = 0;

	if (nla_len(attribute) != sizeof(index))
		return -1;
	if (nla_type(attribute) == RTA_OIF && leads_nowhere(rebuild))
		return 0;
	if (!translate(rebuild, nla_get_u32(attribute), &index))
		return 0;
	return nla_put_u32(rebuild->message, nla_type(attribute), index);
}

static int copy_attribute(struct rebuild *rebuild, const struct nlattr *attribute)
{
	return nla_put(rebuild->message, nla_type(attribute), nla_len(attribute),
		       nla_data(attribute));
}

static bool is_name(const struct nlattr *attribute)
{
	const char *text = nla_data(attribute);
	size_t size = (size_t)nla_len(attribute);

	return size > 1 && size <= IFNAMSIZ && strnlen(text, size) == size - 1;
}

/* -1: it is not what such an attribute is. */
static int put_attribute(struct rebuild *rebuild, const struct nlattr *attribute,
			 enum treatment treatment)
{
	switch (treatment) {
	case DROP:
		return 0;
	case COPY:
		break;
	case PROTOCOL:
		if (nla_len(attribute) != 1)
			return -1;
		if (nla_get_u8(attribute) == RTPROT_KERNEL)
			rebuild->skip = "each kernel has it";
		break;
	case PRIORITY:
	case NUMBER:
		if (nla_len(attribute) != sizeof(uint32_t))
			return -1;
		rebuild->has_priority |= treatment == PRIORITY;
		break;
	case ADDRESS:
		if (nla_len(attribute) != address_size(rebuild))
			return -1;
		break;
	case NAME:
		if (!is_name(attribute))
			return -1;
		break;
	case INDEX:
		return put_index(rebuild, attribute);
	case NEXT_HOPS:
		return put_next_hops(rebuild, attribute);
	case FLAGS:
		if (nla_len(attribute) != sizeof(uint32_t))
			return -1;
		rebuild->address_flags = nla_get_u32(attribute);
		return 0;
	case LIFETIMES:
		return put_lifetimes(rebuild, attribute);
	}
	return copy_attribute(rebuild, attribute);
}

/* Only the host's routes are there, and no address is asked for among the neighbours: the host's
 * kernel has done that. What else the flags say follows from the lifetimes, or is a state. */
static int put_address_flags(struct rebuild *rebuild)
{
	uint32_t flags = IFA_F_NOPREFIXROUTE;

	if (rebuild->family == AF_INET6)
		flags |= IFA_F_NODAD | (rebuild->address_flags & IFA_F_HOMEADDRESS);
	flags |= rebuild->address_flags & IFA_F_MCAUTOJOIN;
	return nla_put_u32(rebuild->message, IFA_FLAGS, flags);
}

static int put_attributes(struct rebuild *rebuild, struct error **ret_error)
{
	size_t body_size = kinds[rebuild->kind].body_size;
	struct nlattr *at = nlmsg_attrdata(rebuild->from, (int)body_size);
	int left = nlmsg_attrlen(rebuild->from, (int)body_size);

	for (; nla_ok(at, left); at = nla_next(at, &left)) {
		size_t type = (size_t)nla_type(at);
		enum treatment treatment =
		    type < kinds[rebuild->kind].n_attributes
			? (enum treatment)kinds[rebuild->kind].attributes[type]
			: DROP;

		if (put_attribute(rebuild, at, treatment) < 0)
			return error_set(ret_error, EINVAL, "a network %s has a bad attribute %zu",
					 kinds[rebuild->kind].name, type);
	}
	if (left > 0)
		return error_set(ret_error, EINVAL, "a network %s ends within an attribute",
				 kinds[rebuild->kind].name);
	/* A dump leaves out a priority of 0, and a request without one has another. */
	if ((rebuild->kind == NETWORK_ADDRESS && put_address_flags(rebuild) < 0) ||
	    (rebuild->kind == NETWORK_RULE && !rebuild->has_priority &&
	     nla_put_u32(rebuild->message, FRA_PRIORITY, 0) < 0))
		return error_set(ret_error, ENOMEM, "cannot make a netlink message");
	return 0;
}

static int put_body(struct rebuild *rebuild, struct error **ret_error)
{
	size_t size = kinds[rebuild->kind].body_size;
	uint8_t *body;

	body = nlmsg_reserve(rebuild->message, size, NLMSG_ALIGNTO);
	if (!body)
		return error_set(ret_error, ENOMEM, "cannot make a netlink message");
	memcpy(body, nlmsg_data(rebuild->from), size);
	if (kinds[rebuild->kind].fix(rebuild, body) < 0)
		return error_set(ret_error, EINVAL, "a network %s has a bad prefix",
				 kinds[rebuild->kind].name);
	return 0;
}

/* Whole, and of a kind that we know; *ret_kind: which. */
static int check_header(const struct nlmsghdr *header, size_t size, enum network_kind *ret_kind,
			struct error **ret_error)
{
	if (size < sizeof(*header) || size > OBJECT_SIZE_MAX ||
	    header->nlmsg_len < sizeof(*header) || header->nlmsg_len > size ||
	    NLMSG_ALIGN(header->nlmsg_len) < size)
		return error_set(ret_error, EINVAL,
				 "a network object of %zu bytes is not a message", size);
	for (enum network_kind kind = 0; kind < NETWORK_KINDS; kind++) {
		if (kinds[kind].type != header->nlmsg_type)
			continue;
		if (!nlmsg_valid_hdr(header, (int)kinds[kind].body_size))
			return error_set(ret_error, EINVAL, "a network %s is cut short",
					 kinds[kind].name);
		*ret_kind = kind;
		return 0;
	}
	return error_set(ret_error, EINVAL, "a network object is of the unexpected type %u",
			 header->nlmsg_type);
}

int network_object_rebuild(const void *bytes, size_t size, const struct network_map *map,
			   struct network_object **ret_object, struct error **ret_error)
{
	_cleanup_free_ void *copy = size > 0 ? xmemdup(bytes, size) : NULL; /* aligned */
	_cleanup_(netlink_message_freep) struct nl_msg *message = NULL;
	struct rebuild rebuild = { .map = map, .from = copy };

	if (check_header(copy, size, &rebuild.kind, ret_error) < 0)
		return -1;
	rebuild.family = *(const uint8_t *)nlmsg_data(rebuild.from);
	if (rebuild.family != AF_INET && rebuild.family != AF_INET6) {
		log_debug("network: a %s of address family %u is left out",
			  kinds[rebuild.kind].name, rebuild.family);
		*ret_object = NULL;
		return 0;
	}
	/* It never grows, IFA_FLAGS and FRA_PRIORITY aside. */
	rebuild.message = message = nlmsg_alloc_size(size + 64);
	if (!message || !nlmsg_put(message, NL_AUTO_PORT, NL_AUTO_SEQ, kinds[rebuild.kind].type, 0,
				   kinds[rebuild.kind].flags))
		return error_set(ret_error, ENOMEM, "cannot make a netlink message");
	if (put_body(&rebuild, ret_error) < 0 || put_attributes(&rebuild, ret_error) < 0)
		return -1;
	if (rebuild.skip) {
		log_debug("network: a %s is left out: %s", kinds[rebuild.kind].name, rebuild.skip);
		*ret_object = NULL;
		return 0;
	}
	*ret_object = xcalloc(1, sizeof(**ret_object));
	(*ret_object)->kind = rebuild.kind;
	(*ret_object)->message = TAKE_PTR(message);
	return 0;
}

static bool has_gateway(const struct nlattr *attributes, int size)
{
	return nla_find(attributes, size, RTA_GATEWAY) || nla_find(attributes, size, RTA_VIA);
}

/* Those with a gateway; the number of them. (The object has been rebuilt: it is well-formed.) */
static unsigned mark_hops(struct nlattr *attribute, uint8_t flag)
{
	struct rtnexthop *hop = nla_data(attribute);
	int left = nla_len(attribute);
	unsigned n = 0;

	for (; left >= (int)sizeof(*hop) && RTNH_OK(hop, left);
	     left -= (int)RTNH_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop)) {
		if (!has_gateway((struct nlattr *)(hop + 1), hop->rtnh_len - (int)sizeof(*hop)))
			continue;
		hop->rtnh_flags |= flag;
		n++;
	}
	return n;
}

static unsigned mark_gateways(struct nlmsghdr *header, uint8_t flag)
{
	struct rtmsg *route = nlmsg_data(header);
	struct nlattr *hops = nlmsg_find_attr(header, sizeof(*route), RTA_MULTIPATH);

	if (hops)
		return mark_hops(hops, flag);
	if (!has_gateway(nlmsg_attrdata(header, sizeof(*route)),
			 nlmsg_attrlen(header, sizeof(*route))))
		return 0;
	route->rtm_flags |= flag;
	return 1;
}

bool network_object_set_onlink(struct network_object *object)
{
	if (object->kind != NETWORK_ROUTE || object->onlink ||
	    mark_gateways(nlmsg_hdr(object->message), 0) == 0)
		return false;
	object->onlink = true;
	return true;
}

int network_object_add(struct netlink *netlink, const struct network_object *object,
		       struct error **ret_error)
{
	struct nlmsghdr *header = nlmsg_hdr(object->message);
	_cleanup_free_ void *as_it_is = NULL;
	int result;

	if (!object->onlink)
		return netlink_request(netlink, object->message, ret_error);
	as_it_is = xmemdup(header, header->nlmsg_len);
	(void)mark_gateways(header, RTNH_F_ONLINK);
	result = netlink_request(netlink, object->message, ret_error);
	memcpy(header, as_it_is, ((const struct nlmsghdr *)as_it_is)->nlmsg_len);
	return result;
}

void network_object_free(struct network_object *object)
{
	if (!object)
		return;
	netlink_message_free(object->message);
	free(object);
}
