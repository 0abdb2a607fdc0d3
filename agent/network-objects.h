/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses, neighbours, routes and rules of a network namespace as a list: what of an old
 * list is not in a new one goes, and the new one comes, in an order that the kernel takes.
 */
#pragma once

#include "agent/network-object.h"

/* The objects are the list's. */
struct network_objects {
	struct network_object **objects;
	size_t n_objects;
};
void network_objects_add(struct network_objects *list, struct network_object *object);
void network_objects_done(struct network_objects *list);

/* Removes from the namespace, and from `applied`, what `wanted` does not have. */
int network_objects_remove_others(struct netlink *netlink, struct network_objects *applied,
				  const struct network_objects *wanted,
				  const struct network_map *map, struct error **ret_error);
/* Gives the namespace all of `wanted`: what it has already stays as it is. Moves to `applied` what
 * is there, whether all of it could be added or not. */
int network_objects_apply(struct netlink *netlink, struct network_objects *applied,
			  struct network_objects *wanted, const struct network_map *map,
			  struct error **ret_error);
