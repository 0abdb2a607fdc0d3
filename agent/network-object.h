/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One object of a network namespace (an address, a neighbour, a route, a rule), as the host's
 * kernel dumped it, rebuilt as a request to the guest's kernel.
 *
 * The bytes are checked as far as they are looked at: what is not is dropped, or left to the
 * guest's kernel, which checks it for every program.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/netlink.h"
#include "base/error.h"

/* The host's index of an interface, and what it is in the guest. */
struct network_index {
	uint32_t host, guest;
	const char *name;
};
struct network_map {
	const struct network_index *indices;
	size_t n_indices;
};

/* In the order in which they need each other. */
enum network_kind {
	NETWORK_ADDRESS,
	NETWORK_NEIGHBOUR,
	NETWORK_ROUTE,
	NETWORK_RULE,
	NETWORK_KINDS,
};

struct network_object {
	enum network_kind kind;
	struct nl_msg *message; /* RTM_NEW… */
	/* Of a route: its gateways are asked for as neighbours, whether they are in reach or not.
	 * (Not in the message, which is as the host's.) */
	bool onlink;
};

/* *ret_object is NULL for what is not the guest's to have: an interface that the map does not
 * have, what the guest's kernel makes by itself, another address family. The log says which. */
int network_object_rebuild(const void *bytes, size_t size, const struct network_map *map,
			   struct network_object **ret_object, struct error **ret_error);
/* True: it is a route with gateways, and was not so before. */
bool network_object_set_onlink(struct network_object *object);
/* Asks the kernel for it. */
int network_object_add(struct netlink *netlink, const struct network_object *object,
		       struct error **ret_error);
void network_object_free(struct network_object *object);
DEFINE_CLEANUP(struct network_object, network_object_free)

/* The same in all: what the kernel has is what is wanted. */
bool network_object_equal(const struct network_object *one, const struct network_object *other);
/* One takes the other's place when it is added: it need not be removed before. */
bool network_object_replaces(const struct network_object *one, const struct network_object *other);

/* "the route 10.0.0.0/8 via 10.1.0.1 dev eth0"; caller frees. */
char *network_object_text(const struct network_object *object, const struct network_map *map);
