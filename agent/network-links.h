/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interfaces of a network namespace: the guest's devices that stand for the host's are found
 * by their own hardware addresses, taken into the namespace, and given names and properties.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/netlink.h"
#include "protocol/agent.pb-c.h"

#define NETWORK_INTERFACES_MAX 64

/* One that an earlier request has named, or this one does. */
struct network_link {
	uint8_t slot[HARDWARE_ADDRESS_SIZE];
	bool loopback;			/* there is no slot */
	uint32_t index;			/* in the guest */
	const Agent__Interface *wanted; /* NULL: it is not in the request */
};
struct network_links {
	struct network_link links[NETWORK_INTERFACES_MAX];
	size_t n_links;
};

/* Where they come from and go back to, and where they are to be. */
struct network_place {
	struct netlink *initial, *target;
	int initial_fd, target_fd; /* /proc/PID/ns/net */
	bool is_initial;	   /* both are the same */
};

/* Names, slots, sizes. */
int network_links_check(Agent__Interface *const *interfaces, size_t n, struct error **ret_error);

/* Gives back those of `links` that are not among the interfaces, takes the others, and gives all
 * their names and properties; those whose flags do not say IFF_UP are down afterwards. `links` says
 * what is in the namespace, on failure as well. */
int network_links_apply(const struct network_place *place, struct network_links *links,
			Agent__Interface *const *interfaces, size_t n, struct error **ret_error);
/* After the settings: up, with the other flags. */
int network_links_up(const struct network_place *place, const struct network_links *links,
		     struct error **ret_error);
