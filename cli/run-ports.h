/* SPDX-License-Identifier: Apache-2.0 */
/* --publish-all: ports of the host for those that an image, or --expose, says its container has. */
#pragma once

#include "base/error.h"

/* For each of "PORT[-PORT][/tcp|/udp]" that none of *publish leads to, adds "FREE:PORT/PROTOCOL"
 * with a port that nobody on this host listens on now.  exposed may be NULL. what: whose they are,
 * for errors. */
int run_ports_publish(const char *what, char *const *exposed, char ***publish,
		      struct error **ret_error);
/* All of exposed, which may be NULL, are of that form. */
int run_ports_check(const char *what, const char *const *exposed, struct error **ret_error);
