/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing objects of a network namespace, and naming them: see network-object.h. */
#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "agent/network-object.h"
#include "base/alloc.h"

static const void *body_of(const struct network_object *object)
{
	return nlmsg_data(nlmsg_hdr(object->message));
}

bool network_object_equal(const struct network_object *one, const struct network_object *other)
{
	const struct nlmsghdr *header = nlmsg_hdr(one->message);
	const struct nlmsghdr *other_header = nlmsg_hdr(other->message);

	return one->kind == other->kind && nlmsg_datalen(header) == nlmsg_datalen(other_header) &&
	       memcmp(nlmsg_data(header), nlmsg_data(other_header),
		      (size_t)nlmsg_datalen(header)) == 0;
}

static struct nlattr *find(const struct network_object *object, size_t body_size, int type)
{
	return nlmsg_find_attr(nlmsg_hdr(object->message), (int)body_size, type);
}

static bool same_attribute(const struct network_object *one, const struct network_object *other,
			   size_t body_size, int type)
{
	const struct nlattr *a = find(one, body_size, type), *b = find(other, body_size, type);

	if (!a || !b)
		return !a && !b;
	return nla_len(a) == nla_len(b) &&
	       memcmp(nla_data(a), nla_data(b), (size_t)nla_len(a)) == 0;
}

/* Only lifetimes and flags of an address are changed in place. */
static bool same_address(const struct network_object *one, const struct network_object *other)
{
	static const int attributes[] = { IFA_LOCAL, IFA_ADDRESS, IFA_BROADCAST, IFA_LABEL };

	if (memcmp(body_of(one), body_of(other), sizeof(struct ifaddrmsg)) != 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
		if (!same_attribute(one, other, sizeof(struct ifaddrmsg), attributes[i]))
			return false;
	return true;
}

static bool same_neighbour(const struct network_object *one, const struct network_object *other)
{
	const struct ndmsg *a = body_of(one), *b = body_of(other);

	return a->ndm_family == b->ndm_family && a->ndm_ifindex == b->ndm_ifindex &&
	       (a->ndm_flags & NTF_PROXY) == (b->ndm_flags & NTF_PROXY) &&
	       same_attribute(one, other, sizeof(*a), NDA_DST);
}

bool network_object_replaces(const struct network_object *one, const struct network_object *other)
{
	if (one->kind != other->kind)
		return false;
	if (one->kind == NETWORK_ADDRESS)
		return same_address(one, other);
	if (one->kind == NETWORK_NEIGHBOUR)
		return same_neighbour(one, other);
	return network_object_equal(one, other);
}

struct text {
	char *string;
	const struct network_map *map;
	uint8_t family;
};

static void append(struct text *text, const char *before, const char *what)
{
	char *longer = xasprintf("%s%s%s", text->string, before, what);

	free(text->string);
	text->string = longer;
}

/* Lengths have been checked when the object was rebuilt. */
static void append_address(struct text *text, const char *before, const struct nlattr *attribute,
			   int prefix)
{
	char address[INET6_ADDRSTRLEN] = "?";
	_cleanup_free_ char *with_prefix = NULL;

	if (!attribute)
		return;
	(void)inet_ntop(text->family, nla_data(attribute), address, sizeof(address));
	with_prefix = prefix < 0 ? xstrdup(address) : xasprintf("%s/%d", address, prefix);
	append(text, before, with_prefix);
}

static void append_device(struct text *text, uint32_t index)
{
	_cleanup_free_ char *number = xasprintf("%u", index);

	for (size_t i = 0; i < text->map->n_indices; i++)
		if (text->map->indices[i].guest == index) {
			append(text, " dev ", text->map->indices[i].name);
			return;
		}
	append(text, " dev ", number);
}

static void append_next_hops(struct text *text, struct nlattr *attribute)
{
	struct rtnexthop *hop = nla_data(attribute);
	int left = nla_len(attribute);

	for (; left >= (int)sizeof(*hop) && RTNH_OK(hop, left);
	     left -= (int)RTNH_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop)) {
		struct nlattr *inner = (struct nlattr *)(hop + 1);

		append(text, " nexthop", "");
		append_address(text, " via ",
			       nla_find(inner, hop->rtnh_len - (int)sizeof(*hop), RTA_GATEWAY), -1);
		append_device(text, (uint32_t)hop->rtnh_ifindex);
	}
}

static void describe_route(struct text *text, const struct network_object *object)
{
	const struct rtmsg *route = body_of(object);
	struct nlattr *destination = find(object, sizeof(*route), RTA_DST);
	struct nlattr *device = find(object, sizeof(*route), RTA_OIF);
	struct nlattr *hops = find(object, sizeof(*route), RTA_MULTIPATH);
	struct nlattr *table = find(object, sizeof(*route), RTA_TABLE);

	if (destination)
		append_address(text, "the route ", destination, route->rtm_dst_len);
	else
		append(text, "the route ", text->family == AF_INET ? "default" : "default (IPv6)");
	append_address(text, " via ", find(object, sizeof(*route), RTA_GATEWAY), -1);
	if (device)
		append_device(text, nla_get_u32(device));
	if (hops)
		append_next_hops(text, hops);
	if (table && nla_get_u32(table) != RT_TABLE_MAIN) {
		_cleanup_free_ char *number = xasprintf("%u", nla_get_u32(table));

		append(text, " table ", number);
	}
}

static void describe_rule(struct text *text, const struct network_object *object)
{
	const struct fib_rule_hdr *rule = body_of(object);
	struct nlattr *priority = find(object, sizeof(*rule), FRA_PRIORITY);
	_cleanup_free_ char *number = xasprintf("%u", priority ? nla_get_u32(priority) : 0);

	append(text, text->family == AF_INET ? "the rule " : "the IPv6 rule ", number);
	append_address(text, " from ", find(object, sizeof(*rule), FRA_SRC), rule->src_len);
	append_address(text, " to ", find(object, sizeof(*rule), FRA_DST), rule->dst_len);
}

static void describe_address(struct text *text, const struct network_object *object)
{
	const struct ifaddrmsg *address = body_of(object);
	const struct nlattr *local = find(object, sizeof(*address), IFA_LOCAL);

	append(text, "the address", "");
	append_address(text, " ", local ? local : find(object, sizeof(*address), IFA_ADDRESS),
		       address->ifa_prefixlen);
	append_device(text, address->ifa_index);
}

static void describe_neighbour(struct text *text, const struct network_object *object)
{
	const struct ndmsg *neighbour = body_of(object);

	append(text, "the neighbour", "");
	append_address(text, " ", find(object, sizeof(*neighbour), NDA_DST), -1);
	append_device(text, (uint32_t)neighbour->ndm_ifindex);
}

char *network_object_text(const struct network_object *object, const struct network_map *map)
{
	static void (*const describe[NETWORK_KINDS])(struct text *,
						     const struct network_object *) = {
		[NETWORK_ADDRESS] = describe_address,
		[NETWORK_NEIGHBOUR] = describe_neighbour,
		[NETWORK_ROUTE] = describe_route,
		[NETWORK_RULE] = describe_rule,
	};
	struct text text = { .string = xstrdup(""),
			     .map = map,
			     .family = *(const uint8_t *)body_of(object) };

	describe[object->kind](&text, object);
	return text.string;
}
