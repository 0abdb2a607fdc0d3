/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking, naming and giving back interfaces: see network-links.h.
 *
 * A device whose name changes has a name of its own in between, made from its slot: so names may be
 * swapped, and it is found again in the other namespace, where its index may be another.
 */
#include "agent/network-links.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/template.h"
#include "base/alloc.h"
#include "base/log.h"

#define GIVEN_FLAGS (IFF_UP | IFF_NOARP | IFF_ALLMULTI | IFF_PROMISC)

static void temporary_name(const uint8_t *slot, char ret_name[IFNAMSIZ])
{
	(void)snprintf(ret_name, IFNAMSIZ, "sm-%02x%02x%02x%02x%02x%02x", slot[0], slot[1], slot[2],
		       slot[3], slot[4], slot[5]);
}

/* As the kernel has it (dev_valid_name()). */
static bool is_name(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length < IFNAMSIZ && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0 && !strpbrk(name, "/: \t\n\v\f\r");
}

int network_links_check(Agent__Interface *const *interfaces, size_t n, struct error **ret_error)
{
	if (n > NETWORK_INTERFACES_MAX)
		return error_set(ret_error, EINVAL, "more than %d interfaces",
				 NETWORK_INTERFACES_MAX);
	for (size_t i = 0; i < n; i++) {
		const Agent__Interface *one = interfaces[i];

		if (!is_name(one->name))
			return error_set(ret_error, EINVAL, "\"%.32s\" is not an interface's name",
					 one->name);
		if ((one->slot.len != 0 && one->slot.len != HARDWARE_ADDRESS_SIZE) ||
		    (one->slot.len != 0 && one->address.len != HARDWARE_ADDRESS_SIZE))
			return error_set(ret_error, EINVAL,
					 "the interface %s has no Ethernet address", one->name);
		for (size_t k = 0; k < i; k++) {
			if (strcmp(interfaces[k]->name, one->name) == 0)
				return error_set(ret_error, EINVAL, "two interfaces are called %s",
						 one->name);
			if (one->index && interfaces[k]->index == one->index)
				return error_set(ret_error, EINVAL, "two interfaces have index %u",
						 one->index);
			if (interfaces[k]->slot.len == one->slot.len &&
			    (one->slot.len == 0 ||
			     memcmp(interfaces[k]->slot.data, one->slot.data, one->slot.len) == 0))
				return error_set(ret_error, EINVAL,
						 "the interfaces %s and %s are one device",
						 interfaces[k]->name, one->name);
		}
	}
	return 0;
}

/* RTM_SETLINK of an interface, with these flags. */
static struct nl_msg *change_new(uint32_t index, uint32_t flags, uint32_t mask)
{
	struct nl_msg *message = nlmsg_alloc_simple(RTM_SETLINK, 0);
	const struct ifinfomsg info = { .ifi_family = AF_UNSPEC,
					.ifi_index = (int)index,
					.ifi_flags = flags,
					.ifi_change = mask };

	if (message && nlmsg_append(message, (void *)&info, sizeof(info), NLMSG_ALIGNTO) < 0)
		netlink_message_free(TAKE_PTR(message));
	return message;
}

static int change(struct netlink *netlink, struct nl_msg *message, struct error **ret_error)
{
	if (!message)
		return error_set(ret_error, ENOMEM, "cannot make a netlink message");
	return netlink_request(netlink, message, ret_error);
}

static int set_flags(struct netlink *netlink, uint32_t index, uint32_t flags, uint32_t mask,
		     struct error **ret_error)
{
	_cleanup_(netlink_message_freep) struct nl_msg *message = change_new(index, flags, mask);

	return change(netlink, message, ret_error);
}

static int rename_to(struct netlink *netlink, uint32_t index, const char *name,
		     struct error **ret_error)
{
	_cleanup_(netlink_message_freep) struct nl_msg *message = change_new(index, 0, 0);

	if (message && nla_put_string(message, IFLA_IFNAME, name) < 0)
		netlink_message_free(TAKE_PTR(message));
	return change(netlink, message, ret_error);
}

/* It has the name there, which must be free. */
static int move_to(struct netlink *netlink, uint32_t index, int namespace_fd, const char *name,
		   struct error **ret_error)
{
	_cleanup_(netlink_message_freep) struct nl_msg *message = change_new(index, 0, 0);

	if (message && (nla_put_u32(message, IFLA_NET_NS_FD, (uint32_t)namespace_fd) < 0 ||
			nla_put_string(message, IFLA_IFNAME, name) < 0))
		netlink_message_free(TAKE_PTR(message));
	return change(netlink, message, ret_error);
}

static int set_address(struct netlink *netlink, uint32_t index, const uint8_t *address,
		       struct error **ret_error)
{
	_cleanup_(netlink_message_freep) struct nl_msg *message = change_new(index, 0, 0);

	if (message && nla_put(message, IFLA_ADDRESS, HARDWARE_ADDRESS_SIZE, address) < 0)
		netlink_message_free(TAKE_PTR(message));
	return change(netlink, message, ret_error);
}

static int set_number(struct netlink *netlink, uint32_t index, int attribute, uint32_t value,
		      struct error **ret_error)
{
	_cleanup_(netlink_message_freep) struct nl_msg *message = change_new(index, 0, 0);

	if (message && nla_put_u32(message, attribute, value) < 0)
		netlink_message_free(TAKE_PTR(message));
	return change(netlink, message, ret_error);
}

/* The host's addresses, link-local ones as well, are all that there are. A guest without IPv6, or
 * an interface whose MTU is too small for it, has none to make. */
static int make_no_addresses(struct netlink *netlink, uint32_t index, struct error **ret_error)
{
	_cleanup_(netlink_message_freep) struct nl_msg *message = change_new(index, 0, 0);
	_cleanup_error_ struct error *error = NULL;
	struct nlattr *all, *family;

	if (!message || !(all = nla_nest_start(message, IFLA_AF_SPEC)) ||
	    !(family = nla_nest_start(message, AF_INET6)) ||
	    nla_put_u8(message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE) < 0)
		return error_set(ret_error, ENOMEM, "cannot make a netlink message");
	(void)nla_nest_end(message, family);
	(void)nla_nest_end(message, all);
	if (netlink_request(netlink, message, &error) == 0 || error->code == EAFNOSUPPORT)
		return 0;
	return error_set(ret_error, error->code, "%s", error->message);
}

static const struct netlink_link *find_index(const struct netlink_links *links, uint32_t index)
{
	for (size_t i = 0; i < links->n_links; i++)
		if (links->links[i].index == index)
			return &links->links[i];
	return NULL;
}

static const struct netlink_link *find_name(const struct netlink_links *links, const char *name)
{
	for (size_t i = 0; i < links->n_links; i++)
		if (strcmp(links->links[i].name, name) == 0)
			return &links->links[i];
	return NULL;
}

static bool is_known(const struct network_links *known, uint32_t index)
{
	for (size_t i = 0; known && i < known->n_links; i++)
		if (known->links[i].index == index)
			return true;
	return false;
}

/* Its own address says which device it is; one that has none is known by what it has now, unless
 * it is known for another (of which that is a given address). */
static const struct netlink_link *find_slot(const struct netlink_links *links,
					    const struct network_links *known, const uint8_t *slot)
{
	const struct netlink_link *found = NULL;

	for (size_t i = 0; i < links->n_links; i++) {
		const struct netlink_link *link = &links->links[i];

		if (memcmp(link->permanent_address, slot, HARDWARE_ADDRESS_SIZE) == 0)
			return link;
		if (!found && !is_known(known, link->index) &&
		    memcmp(link->address, slot, HARDWARE_ADDRESS_SIZE) == 0)
			found = link;
	}
	return found;
}

/* Down, as it was found by its slot, under a name that nothing else has. */
static int give_back(const struct network_place *place, const struct network_link *link,
		     struct error **ret_error)
{
	char name[IFNAMSIZ];

	temporary_name(link->slot, name);
	if (set_flags(place->target, link->index, 0, GIVEN_FLAGS, ret_error) < 0 ||
	    set_address(place->target, link->index, link->slot, ret_error) < 0)
		return -1;
	if (place->is_initial)
		return rename_to(place->target, link->index, name, ret_error);
	return move_to(place->target, link->index, place->initial_fd, name, ret_error);
}

static void mark_wanted(struct network_links *links, Agent__Interface *const *interfaces, size_t n)
{
	for (size_t i = 0; i < links->n_links; i++) {
		struct network_link *link = &links->links[i];

		link->wanted = NULL;
		for (size_t k = 0; k < n; k++)
			if (link->loopback ? interfaces[k]->slot.len == 0
					   : interfaces[k]->slot.len == sizeof(link->slot) &&
						 memcmp(interfaces[k]->slot.data, link->slot,
							sizeof(link->slot)) == 0)
				link->wanted = interfaces[k];
	}
}

/* The loopback device stays as it is: it has nowhere to go. So does one that has gone. */
static int give_back_others(const struct network_place *place, struct network_links *links,
			    const struct netlink_links *present, struct error **ret_error)
{
	for (size_t i = links->n_links; i-- > 0;) {
		const struct network_link *link = &links->links[i];
		const struct netlink_link *found = find_index(present, link->index);

		if (link->wanted && found)
			continue;
		if (found && !link->loopback && give_back(place, link, ret_error) < 0)
			return error_wrap(ret_error, "cannot give the interface %s back",
					  found->name);
		links->links[i] = links->links[--links->n_links];
	}
	return 0;
}

static bool is_linked(const struct network_links *links, const Agent__Interface *interface)
{
	for (size_t i = 0; i < links->n_links; i++)
		if (links->links[i].wanted == interface)
			return true;
	return false;
}

static void add_link(struct network_links *links, const Agent__Interface *interface, uint32_t index)
{
	struct network_link *link = &links->links[links->n_links++];

	*link = (struct network_link){ .loopback = interface->slot.len == 0,
				       .index = index,
				       .wanted = interface };
	if (!link->loopback)
		memcpy(link->slot, interface->slot.data, sizeof(link->slot));
}

/* From the guest's initial namespace: *ret_index is the one that it has then. Each renaming takes
 * the kernel milliseconds: it has its name at once, unless another one still has that. */
static int take(const struct network_place *place, const struct netlink_link *found,
		const Agent__Interface *interface, bool name_is_free, uint32_t *ret_index,
		struct error **ret_error)
{
	_cleanup_(netlink_links_done) struct netlink_links present = { 0 };
	const struct netlink_link *link;
	char name[IFNAMSIZ];

	if (name_is_free)
		(void)snprintf(name, sizeof(name), "%s", interface->name);
	else
		temporary_name(interface->slot.data, name);
	if (set_flags(place->initial, found->index, 0, IFF_UP, ret_error) < 0 ||
	    move_to(place->initial, found->index, place->target_fd, name, ret_error) < 0 ||
	    netlink_list_links(place->target, &present, ret_error) < 0)
		return -1;
	link = find_name(&present, name);
	if (!link)
		return error_set(ret_error, ENODEV, "it has not arrived");
	*ret_index = link->index;
	return 0;
}

static int find_new(const struct network_place *place, struct network_links *links,
		    const struct netlink_links *present, const Agent__Interface *interface,
		    struct error **ret_error)
{
	_cleanup_(netlink_links_done) struct netlink_links initial = { 0 };
	const struct netlink_link *found;
	uint32_t index = 0;

	found = interface->slot.len == 0 ? find_name(present, "lo")
					 : find_slot(present, links, interface->slot.data);
	if (found) {
		add_link(links, interface, found->index);
		return 0;
	}
	if (interface->slot.len == 0)
		return error_set(ret_error, ENODEV, "there is no loopback device");
	do {
		netlink_links_done(&initial);
		if (netlink_list_links(place->initial, &initial, ret_error) < 0)
			return -1;
		found = find_slot(&initial, NULL, interface->slot.data);
	} while (!found && template_next_device());
	if (!found) {
		const uint8_t *slot = interface->slot.data;

		return error_set(
		    ret_error, ENODEV,
		    "the guest has no device with the address %02x:%02x:%02x:%02x:%02x:%02x, which "
		    "is to be %s",
		    slot[0], slot[1], slot[2], slot[3], slot[4], slot[5], interface->name);
	}
	if (take(place, found, interface, !find_name(present, interface->name), &index, ret_error) <
	    0)
		return error_wrap(ret_error, "cannot move the interface %s", interface->name);
	add_link(links, interface, index);
	return 0;
}

/* Out of the way, so that its name is free for another. */
static int free_names(const struct network_place *place, const struct network_links *links,
		      const struct netlink_links *present, struct error **ret_error)
{
	for (size_t i = 0; i < links->n_links; i++) {
		const struct network_link *link = &links->links[i];
		const struct netlink_link *is = find_index(present, link->index);
		char name[IFNAMSIZ];

		temporary_name(link->slot, name);
		if (link->loopback || !is || strcmp(is->name, link->wanted->name) == 0 ||
		    strcmp(is->name, name) == 0)
			continue;
		if (set_flags(place->target, link->index, 0, IFF_UP, ret_error) < 0 ||
		    rename_to(place->target, link->index, name, ret_error) < 0)
			return error_wrap(ret_error, "cannot rename the interface %s", is->name);
	}
	return 0;
}

/* What a device must be down for. */
static int set_identity(const struct network_place *place, const struct network_link *link,
			const struct netlink_link *is, struct error **ret_error)
{
	const Agent__Interface *wanted = link->wanted;
	bool same_name = strcmp(is->name, wanted->name) == 0;
	bool same_address = memcmp(is->address, wanted->address.data, sizeof(is->address)) == 0;

	if (same_name && same_address)
		return 0;
	if (set_flags(place->target, link->index, 0, IFF_UP, ret_error) < 0 ||
	    (!same_address &&
	     set_address(place->target, link->index, wanted->address.data, ret_error) < 0))
		return -1;
	if (!same_name && rename_to(place->target, link->index, wanted->name, ret_error) < 0)
		return error_wrap(ret_error, "rename");
	return 0;
}

static int configure(const struct network_place *place, const struct network_link *link,
		     const struct netlink_link *is, struct error **ret_error)
{
	const Agent__Interface *wanted = link->wanted;

	if (!link->loopback && (set_identity(place, link, is, ret_error) < 0 ||
				make_no_addresses(place->target, link->index, ret_error) < 0))
		return -1;
	if (wanted->mtu && wanted->mtu != is->mtu &&
	    set_number(place->target, link->index, IFLA_MTU, wanted->mtu, ret_error) < 0)
		return error_wrap(ret_error, "MTU %u", wanted->mtu);
	if (wanted->queue_length && wanted->queue_length != is->queue_length &&
	    set_number(place->target, link->index, IFLA_TXQLEN, wanted->queue_length, ret_error) <
		0)
		return error_wrap(ret_error, "queue length %u", wanted->queue_length);
	if (!(wanted->flags & IFF_UP))
		return set_flags(place->target, link->index, 0, IFF_UP, ret_error);
	return 0;
}

static int configure_all(const struct network_place *place, const struct network_links *links,
			 struct error **ret_error)
{
	_cleanup_(netlink_links_done) struct netlink_links present = { 0 };

	if (netlink_list_links(place->target, &present, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < links->n_links; i++) {
		const struct network_link *link = &links->links[i];
		const struct netlink_link *is = find_index(&present, link->index);

		if (!is)
			return error_set(ret_error, ENODEV, "the interface %s has gone",
					 link->wanted->name);
		if (configure(place, link, is, ret_error) < 0)
			return error_wrap(ret_error, "cannot set up the interface %s",
					  link->wanted->name);
	}
	return 0;
}

int network_links_apply(const struct network_place *place, struct network_links *links,
			Agent__Interface *const *interfaces, size_t n, struct error **ret_error)
{
	_cleanup_(netlink_links_done) struct netlink_links present = { 0 };

	if (netlink_list_links(place->target, &present, ret_error) < 0)
		return -1;
	mark_wanted(links, interfaces, n);
	if (give_back_others(place, links, &present, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (!is_linked(links, interfaces[i]) &&
		    find_new(place, links, &present, interfaces[i], ret_error) < 0)
			return -1;
	if (free_names(place, links, &present, ret_error) < 0)
		return -1;
	return configure_all(place, links, ret_error);
}

int network_links_up(const struct network_place *place, const struct network_links *links,
		     struct error **ret_error)
{
	for (size_t i = 0; i < links->n_links; i++) {
		const struct network_link *link = &links->links[i];

		if (set_flags(place->target, link->index, link->wanted->flags & GIVEN_FLAGS,
			      GIVEN_FLAGS, ret_error) < 0)
			return error_wrap(ret_error, "cannot bring the interface %s up",
					  link->wanted->name);
	}
	return 0;
}
