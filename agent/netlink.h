/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnetlink(7) by libnl: a socket in one network namespace, requests that the kernel answers with
 * its own words, and the interfaces that the namespace has.
 */
#pragma once

#include <net/if.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define HARDWARE_ADDRESS_SIZE 6 /* Ethernet's; nothing else is a guest's interface */

struct netlink;

static inline void netlink_message_free(struct nl_msg *message)
{
	if (message)
		nlmsg_free(message);
}
DEFINE_CLEANUP(struct nl_msg, netlink_message_free)

/* A socket in the caller's network namespace: it stays there. */
int netlink_open(struct netlink **ret_netlink, struct error **ret_error);
void netlink_free(struct netlink *netlink);
DEFINE_CLEANUP(struct netlink, netlink_free)

/* Which network namespace the socket is in: no other has this number, not even later. */
int netlink_namespace(const struct netlink *netlink, uint64_t *ret_cookie,
		      struct error **ret_error);

/* Sends the message, whose type and flags are set, and waits for the answer. 0, or -1 with an error
 * whose code is the kernel's and whose message is the kernel's explanation, if it gives one, else
 * strerror(). The message stays the caller's and may be sent again. */
int netlink_request(struct netlink *netlink, struct nl_msg *message, struct error **ret_error);

struct netlink_link {
	uint32_t index;
	char name[IFNAMSIZ];
	uint32_t mtu, queue_length, flags;
	/* Zeros, if it is of another size. */
	uint8_t address[HARDWARE_ADDRESS_SIZE], permanent_address[HARDWARE_ADDRESS_SIZE];
};
struct netlink_links {
	struct netlink_link *links;
	size_t n_links;
};

/* All interfaces of the namespace. */
int netlink_list_links(struct netlink *netlink, struct netlink_links *ret_links,
		       struct error **ret_error);
void netlink_links_done(struct netlink_links *links);
