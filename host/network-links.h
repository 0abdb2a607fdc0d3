/* SPDX-License-Identifier: Apache-2.0 */
/* The interfaces of a network namespace as the kernel lists them, for network.c. */
#pragma once

#include <linux/netlink.h>
#include <stdbool.h>

#include "host/network-join.h"
#include "host/network.h"

struct network_link {
	struct network_interface interface; /* without a slot */
	int type;			    /* ARPHRD_… */
	bool member;			    /* of a bridge or a bond that is in the namespace too */
	bool tap;			    /* one of ours, or another machine's */
	uint32_t below; /* a VLAN's or macvlan's: the interface that has its frames; 0: none */
	struct network_upper upper; /* which those are */
	bool tunnel; /* of Ethernet frames: each namespace may have one that nobody asked for */
	struct network_setting *settings;
	size_t n_settings;
};

/* From a message of RTM_GETLINK's dump; false: it is none, or not understood. */
bool network_link_read(const struct nlmsghdr *message, struct network_link *ret_link);
/* Somebody made it, for the namespace's processes. (Where tunnels' modules are loaded, each
 * namespace has some that are down: sit0, gre0, gretap0, erspan0.) */
bool network_link_is_wanted(const struct network_link *link);
void network_link_done(struct network_link *link);
