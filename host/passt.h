/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passt: a network without root and without a daemon.  A process of its own talks to the
 * guest in Ethernet frames and to the world with ordinary sockets.
 *
 * It is told everything and offers nothing by DHCP, DHCPv6 or router advertisements: the
 * guest gets the addresses below.  The gateway is not another name of the host; what the
 * host offers on its other addresses can be reached.
 *
 * What passt of Debian 12 (2023-03-09) does not stop: a frame to 127.0.0.0/8, 0.0.0.0, ::1, ::
 * or one of the former as ::ffff:A.B.C.D reaches the host's loopback, where services trust
 * their clients.  The process that passes the guest's frames on must drop these
 * (findings/passt-guest.sh).
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "host/cgroup-place.h"
#include "host/network-options.h"
#include "host/network.h"

/* The guest's, and what it finds there. */
#define PASST_GUEST_ADDRESS "10.0.2.15"
#define PASST_PREFIX 24
#define PASST_GATEWAY "10.0.2.2"
#define PASST_DNS "10.0.2.3" /* forwards to the host's first resolver, by UDP alone */
#define PASST_GUEST_ADDRESS6 "fd73:6d10:2::15"
#define PASST_PREFIX6 64
#define PASST_GATEWAY6 "fd73:6d10:2::2"
#define PASST_DNS6 "fd73:6d10:2::3"
/* passt's own hardware address: it answers for all addresses but the guest's. */
#define PASST_HARDWARE_ADDRESS "52:55:0a:00:02:02"
/* The guest's, which passt_start() tells it. */
#define PASST_GUEST_HARDWARE_ADDRESS                                                               \
	{                                                                                          \
		0x52, 0x55, 0x0a, 0x00, 0x02, 0x0f                                                 \
	}
#define PASST_MTU_MAX 65520

/* Which of the two the guest can use: those for which the caller's network namespace has
 * a default route, which passt insists on.  IPv4 if it has none at all. */
#define PASST_IPV4 1u
#define PASST_IPV6 2u
unsigned passt_families(void);
/* There is a passt, and such a route: passt_start() is not sure to fail. */
bool passt_is_usable(void);

/* What the guest is to have, as network_scan() tells it of a namespace: one interface, eth0, in the
 * machine's first slot, with these addresses.  network_view_done(). */
void passt_view(struct network_view *ret_view);

struct passt_options {
	struct publish *published; /* not owned by passt_start() */
	size_t n_published;
	const struct cgroup_place *cgroup; /* to be in; NULL: the caller's */
};

/*
 * Starts passt in the caller's network namespace, and returns once its ports are bound.
 * *ret_socket (close-on-exec, blocking) is a stream of frames, each after 4 bytes of
 * big-endian length.  Write length and frame in one call: passt of Debian 12 loses a length
 * that it reads without a frame, and its place in the stream.  passt ends by itself when the last
 * copy of it is closed; it is an orphan with a session of its own, nobody's child to reap but
 * init's or a subreaper's.
 *
 * Errors say which port cannot be bound, that there is no default route, that passt is
 * not installed (ENOENT), or what passt said.  Forks, and waits for the child: not for a
 * process that reaps children elsewhere.
 */
int passt_start(const struct passt_options *options, int *ret_socket, struct error **ret_error);
