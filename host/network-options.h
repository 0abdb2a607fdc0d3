/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What --network and --publish say: the one reader of these words.
 *
 * The command line reads them for an early and plain error, the task server because it
 * trusts no client.  Nothing is made or bound here; passt.h does that.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Of one machine; each port is a socket or two of passt's. */
#define PUBLISH_PORTS_MAX 1024

enum network_mode {
	NETWORK_BUNDLE,	   /* not given: config.json decides */
	NETWORK_NONE,	   /* "none": as a new namespace in config.json */
	NETWORK_NAMESPACE, /* "ns:PATH": as a namespace with that path in config.json */
	NETWORK_PASST,	   /* "passt" */
};

/* Ports of the host that lead to as many ports of the guest. */
struct publish {
	char address[INET6_ADDRSTRLEN]; /* as inet_ntop(3) writes it; "": every one of the host's */
	int family;			/* AF_INET, AF_INET6; AF_UNSPEC: both */
	bool udp;			/* else TCP */
	uint16_t host_port, guest_port; /* the first ones, from 1 */
	uint16_t n_ports;		/* from 1; none of them is above 65535 */
};

struct network_options {
	enum network_mode mode;
	char *path; /* NETWORK_NAMESPACE */
	struct publish *published;
	size_t n_published;
};

/*
 * network: NULL or "" is not given.  The path of ns:PATH is absolute, and a network
 * namespace at this moment: a later caller that opens it must be ready for another answer.
 * publish: n_publish times [IP:]PORT[-PORT]:PORT[-PORT][/tcp|/udp], the host's ports
 * first.  No port of the host is published twice for a protocol, at whatever addresses:
 * passt cannot do that.
 *
 * Errors name the option and its argument.  network_options_done() after success.
 */
int network_options_read(const char *network, const char *const *publish, size_t n_publish,
			 struct network_options *ret_options, struct error **ret_error);
/* Does network ask for passt? For a namespace? NULL does not. */
bool network_is_passt(const char *network);
bool network_is_namespace(const char *network);
void network_options_done(struct network_options *options);
#define _cleanup_network_options_ _cleanup_(network_options_done)
