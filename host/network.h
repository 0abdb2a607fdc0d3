/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network of a machine, seen from the namespace that its VMM lives in: interfaces of a
 * caller's (veth, macvlan, …), and the taps of the machine's network devices.
 *
 * Each interface is joined to a tap: what arrives at one leaves at the other (an ingress
 * qdisc with a filter that redirects everything, tc-mirred(8)).  So the guest has the
 * interface, and the namespace's own stack hears nothing any more.  The
 * taps go with the VMM, the rest when the network_free() of an ended machine undoes it, or with
 * the namespace.
 *
 * What the guest is to have beside (addresses, routes, rules, permanent neighbours and those that
 * an interface answers for) are the namespace's, as rtnetlink(7) messages; and its sysctls, as far
 * as somebody has changed them.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define NETWORK_TAPS_MAX 8U
#define NETWORK_QUEUES_MAX 8U
#define NETWORK_ADDRESS_SIZE 6

/* Where a machine is to live: a network namespace, with a tap for each of its devices. */
struct network_place {
	int ns_fd;
	bool own;	 /* the caller's: the host's network, which is nobody's to take away */
	size_t n_queues; /* of each tap */
	size_t n_taps;
	int tap_fds[NETWORK_TAPS_MAX][NETWORK_QUEUES_MAX]; /* for the machine's devices */
	size_t n_vhosts;
	int vhost_fds[NETWORK_TAPS_MAX][NETWORK_QUEUES_MAX]; /* likewise, of the first taps */
	int taps[NETWORK_TAPS_MAX];			     /* their indices in the namespace */
};
#define NETWORK_PLACE_NONE                                                                         \
	{                                                                                          \
		.ns_fd = -1                                                                        \
	}

/* Is it the caller's own? */
bool network_is_own(int ns_fd);

/* What a machine's place is to have. */
struct network_needs {
	size_t n_taps, n_queues; /* of each; at least 1 */
	bool vhost;		 /* vhost-net for each queue */
};

/* The namespace at path (NULL: a new one), with new taps, and vhost-net for them if it is
 * wanted.  One that cannot be made is logged at
 * debug level, and there are fewer then: who has no interface needs none.  The caller's own
 * namespace gets none, with a warning: its interfaces are never joined. network_place_done() leaves
 * the namespace to the processes in it. */
int network_place_open(const char *path, const struct network_needs *needs,
		       struct network_place *ret_place, struct error **ret_error);
void network_place_done(struct network_place *place);
/* The machine has its taps. */
void network_place_close_taps(struct network_place *place);

struct network;

/* Of a place, which stays the caller's and need not stay. */
int network_new(const struct network_place *place, struct network **ret_network,
		struct error **ret_error);
/* The interfaces are the namespace's own again, unless another machine has come. */
void network_free(struct network *network);
DEFINE_CLEANUP(struct network, network_free)
/* The namespace; the descriptor stays the network's. */
int network_namespace(const struct network *network);
/* Readable when something has changed in the namespace, until network_drain(). */
int network_fd(const struct network *network);
void network_drain(struct network *network);

/* One that is joined, or the loopback device. */
struct network_interface {
	int slot; /* its tap, -1: the loopback device */
	uint32_t index;
	char name[IFNAMSIZ];
	uint8_t address[NETWORK_ADDRESS_SIZE];
	uint32_t mtu, queue_length;
	uint32_t flags;	 /* of IFF_UP and IFF_NOARP; the loopback device is up */
	bool no_carrier; /* it is up, and its cable's far end is not, or its tap was removed */
};

/* "ipv6/conf/eth0/accept_ra", below /proc/sys/net; in the order in which they are to be written. */
struct network_setting {
	char *path, *value;
};

struct network_object {
	void *bytes; /* struct nlmsghdr and what follows */
	size_t size;
};

struct network_view {
	struct network_interface *interfaces;
	size_t n_interfaces;
	struct network_object *objects;
	size_t n_objects;
	struct network_setting *settings;
	size_t n_settings;
};
void network_view_done(struct network_view *view);

/* Joins what is not joined yet, and tells what the namespace has then.  Where another
 * machine was before (its taps are there), nothing is joined: a warning.  Nor is it in the caller's
 * own namespace.  An interface that cannot be joined, or for which there is no tap left, is an
 * error that names it. */
int network_scan(struct network *network, struct network_view *ret_view, struct error **ret_error);

/* How many interfaces the namespace at path has that would be joined: of the caller's own, none. */
int network_count(const char *path, size_t *ret_n, struct error **ret_error);
