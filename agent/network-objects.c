/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of objects, removed and added: see network-objects.h.
 *
 * A route may need another one (its gateway must be in reach), and dumps are in no such order:
 * those that fail are tried again as long as one more succeeds.
 */
#include "agent/network-objects.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"

void network_objects_add(struct network_objects *list, struct network_object *object)
{
	/* In steps, for it grows one by one. */
	if (list->n_objects % 64 == 0)
		list->objects = xreallocarray(list->objects, list->n_objects + 64,
					      sizeof(struct network_object *));
	list->objects[list->n_objects++] = object;
}

void network_objects_done(struct network_objects *list)
{
	for (size_t i = 0; i < list->n_objects; i++)
		network_object_free(list->objects[i]);
	free(list->objects);
	*list = (struct network_objects){ 0 };
}

/* Closes the gaps. */
static void compact(struct network_objects *list)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n_objects; i++)
		if (list->objects[i])
			list->objects[n++] = list->objects[i];
	/* (Room for more than n does no harm, but network_objects_add() counts on steps.) */
	if (n == 0)
		free(TAKE_PTR(list->objects));
	else
		list->objects = xreallocarray(list->objects, (n + 63) / 64 * 64,
					      sizeof(struct network_object *));
	list->n_objects = n;
}

/* Mostly they are where they were. */
static const struct network_object *find_replacement(const struct network_objects *list,
						     const struct network_object *object,
						     size_t place)
{
	for (size_t i = 0; i < list->n_objects; i++) {
		const struct network_object *other = list->objects[(place + i) % list->n_objects];

		if (other && network_object_replaces(other, object))
			return other;
	}
	return NULL;
}

/* RTM_DELxxx follows RTM_NEWxxx. */
static int delete_object(struct netlink *netlink, const struct network_object *object,
			 const struct network_map *map, struct error **ret_error)
{
	struct nlmsghdr *header = nlmsg_hdr(object->message);
	uint16_t type = header->nlmsg_type, flags = header->nlmsg_flags;
	_cleanup_free_ char *text = NULL;
	struct error *error = NULL;
	int result;

	header->nlmsg_type = type + 1;
	header->nlmsg_flags = 0;
	result = netlink_request(netlink, object->message, &error);
	header->nlmsg_type = type;
	header->nlmsg_flags = flags;
	if (result == 0)
		return 0;
	/* It went with its interface, or with its address, or the container removed it. */
	if (error->code == ESRCH || error->code == ENOENT || error->code == ENODEV ||
	    error->code == EADDRNOTAVAIL || error->code == ENXIO || error->code == ENETDOWN) {
		error_free(error);
		return 0;
	}
	text = network_object_text(object, map);
	(void)error_wrap(&error, "cannot remove %s", text);
	if (ret_error)
		*ret_error = error;
	else
		error_free(error);
	return -1;
}

int network_objects_remove_others(struct netlink *netlink, struct network_objects *applied,
				  const struct network_objects *wanted,
				  const struct network_map *map, struct error **ret_error)
{
	int result = 0;

	/* Rules first, addresses last: no route loses its source before it goes. */
	for (enum network_kind kind = NETWORK_KINDS; kind-- > 0 && result == 0;)
		for (size_t i = 0; i < applied->n_objects && result == 0; i++) {
			struct network_object *object = applied->objects[i];

			if (!object || object->kind != kind || find_replacement(wanted, object, i))
				continue;
			result = delete_object(netlink, object, map, ret_error);
			if (result == 0) {
				network_object_free(object);
				applied->objects[i] = NULL;
			}
		}
	compact(applied);
	return result;
}

/* The one that this replaces is forgotten. */
static void move_to_applied(struct network_objects *applied, struct network_object *object,
			    size_t place)
{
	for (size_t i = 0; i < applied->n_objects; i++) {
		size_t at = (place + i) % applied->n_objects;

		if (!network_object_replaces(object, applied->objects[at]))
			continue;
		network_object_free(applied->objects[at]);
		applied->objects[at] = object;
		return;
	}
	network_objects_add(applied, object);
}

/* One round: the number of those that have been added; *ret_failed: the first that was not, and
 * why. */
static size_t try_all(struct netlink *netlink, enum network_kind kind,
		      struct network_objects *applied, struct network_objects *wanted,
		      const struct network_object **ret_failed, struct error **ret_error)
{
	size_t n = 0;

	*ret_failed = NULL;
	for (size_t i = 0; i < wanted->n_objects; i++) {
		struct network_object *object = wanted->objects[i];
		_cleanup_error_ struct error *error = NULL;

		if (!object || object->kind != kind)
			continue;
		if (network_object_add(netlink, object, &error) == 0 || error->code == EEXIST) {
			move_to_applied(applied, object, i);
			wanted->objects[i] = NULL;
			n++;
		} else if (!*ret_failed) {
			*ret_failed = object;
			*ret_error = TAKE_PTR(error);
		}
	}
	return n;
}

static bool add_again(struct netlink *netlink, const struct network_object *object, bool *ret_new)
{
	_cleanup_error_ struct error *error = NULL;

	*ret_new = network_object_add(netlink, object, &error) == 0;
	return *ret_new || error->code == EEXIST;
}

/* In place of one that was added when its gateways were in reach, if that is still there: of the
 * two the kernel removes the older one. False: nothing has changed. */
static bool renew_onlink(struct netlink *netlink, struct network_object *route,
			 const struct network_map *map)
{
	bool added = false;

	if (!network_object_set_onlink(route))
		return false;
	if (!add_again(netlink, route, &added)) {
		route->onlink = false;
		return false;
	}
	if (added) {
		(void)delete_object(netlink, route, map, NULL);
		(void)add_again(netlink, route, &added);
	}
	return true;
}

/* The host may have what could not be added any more: a route keeps a gateway that is no longer in
 * reach, and packets go on to it by the interface alone. What an earlier request has added stays
 * in any case. The number of those that are settled, or to be tried so. */
static size_t rescue_routes(struct netlink *netlink, struct network_objects *applied,
			    struct network_objects *wanted, const struct network_map *map)
{
	size_t n = 0;

	for (size_t i = 0; i < wanted->n_objects; i++) {
		struct network_object *object = wanted->objects[i];
		_cleanup_free_ char *text = NULL;

		if (!object || object->kind != NETWORK_ROUTE)
			continue;
		if (!find_replacement(applied, object, i)) {
			n += network_object_set_onlink(object);
			continue;
		}
		if (!renew_onlink(netlink, object, map)) {
			text = network_object_text(object, map);
			log_warning("network: %s could not be added again", text);
		}
		move_to_applied(applied, object, i);
		wanted->objects[i] = NULL;
		n++;
	}
	return n;
}

/* As they were added. */
static void take_over_onlink(const struct network_objects *applied, struct network_objects *wanted)
{
	for (size_t i = 0; i < wanted->n_objects; i++) {
		struct network_object *object = wanted->objects[i];
		const struct network_object *old =
		    object->kind == NETWORK_ROUTE ? find_replacement(applied, object, i) : NULL;

		if (old)
			object->onlink = old->onlink;
	}
}

int network_objects_apply(struct netlink *netlink, struct network_objects *applied,
			  struct network_objects *wanted, const struct network_map *map,
			  struct error **ret_error)
{
	take_over_onlink(applied, wanted);
	for (enum network_kind kind = 0; kind < NETWORK_KINDS; kind++)
		for (;;) {
			_cleanup_error_ struct error *error = NULL;
			const struct network_object *failed;
			size_t n = try_all(netlink, kind, applied, wanted, &failed, &error);
			_cleanup_free_ char *text = NULL;

			if (!failed)
				break;
			if (n > 0 || (kind == NETWORK_ROUTE &&
				      rescue_routes(netlink, applied, wanted, map) > 0))
				continue;
			text = network_object_text(failed, map);
			return error_set(ret_error, error->code, "cannot add %s: %s", text,
					 error->message);
		}
	return 0;
}
