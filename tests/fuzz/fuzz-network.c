/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: an object of the host's network namespace, rebuilt for the guest.
 *
 * Input: the bytes of an rtnetlink message as a kernel dumps it. What is taken must be a whole
 * message, no longer than the input by more than an attribute, about the guest's interfaces alone.
 */
#include <linux/rtnetlink.h>
#include <string.h>

#include "agent/network-object.h"
#include "base/log.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct network_index indices[] = {
	{ 1, 101, "lo" },
	{ 2, 102, "eth0" },
	{ 3, 103, "eth1" },
	{ 5, 105, "eth2" },
};

static bool is_guests(int index)
{
	for (size_t i = 0; i < ARRAY_SIZE(indices); i++)
		if (indices[i].guest == (uint32_t)index)
			return true;
	return false;
}

static void check_hops(const struct nlattr *attribute)
{
	const struct rtnexthop *hop = nla_data(attribute);
	int left = nla_len(attribute);

	check(left > 0);
	while (left > 0) {
		check(left >= (int)sizeof(*hop) && RTNH_OK(hop, left));
		check(is_guests(hop->rtnh_ifindex));
		left -= (int)RTNH_ALIGN(hop->rtnh_len);
		hop = RTNH_NEXT(hop);
	}
}

static void check_message(const struct nlmsghdr *header, size_t size)
{
	static const size_t body_sizes[] = { 8, 12, 12, 12 }; /* address, route, neighbour, rule */
	size_t body_size = body_sizes[(header->nlmsg_type - RTM_NEWADDR) / 4 % 4];
	struct nlattr *at;
	int left;

	check(header->nlmsg_len <= NLMSG_ALIGN(size) + 8);
	check(nlmsg_valid_hdr(header, (int)body_size));
	at = nlmsg_attrdata(header, (int)body_size);
	left = nlmsg_attrlen(header, (int)body_size);
	for (; nla_ok(at, left); at = nla_next(at, &left)) {
		if (header->nlmsg_type != RTM_NEWROUTE)
			continue;
		if (nla_type(at) == RTA_OIF || nla_type(at) == RTA_IIF)
			check(is_guests((int)nla_get_u32(at)));
		if (nla_type(at) == RTA_MULTIPATH)
			check_hops(at);
	}
	check(left <= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct network_map map = { indices, ARRAY_SIZE(indices) };
	_cleanup_(network_object_freep) struct network_object *object = NULL;
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *text = NULL;

	log_set_level(LOG_LEVEL_ERROR);
	if (network_object_rebuild(data, size, &map, &object, &error) < 0) {
		check(error && error->message[0] && !object);
		return 0;
	}
	check(!error);
	if (!object)
		return 0;
	check_message(nlmsg_hdr(object->message), size);
	check(network_object_equal(object, object) && network_object_replaces(object, object));
	text = network_object_text(object, &map);
	check(strncmp(text, "the ", 4) == 0);
	return 0;
}
