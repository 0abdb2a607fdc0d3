/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's way to the resolver on the loopback device of its network namespace, Docker's
 * (agent/names.h): each connection to AGENT_NAMES_PORT goes on to port 53 there, by TCP.
 *
 * Every program in the guest can reach that port, as under runc every program of the container
 * reaches the resolver; it leads nowhere else.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/loop.h"
#include "runtime-spec/spec.h"

struct host_names;

/* Does the file that is bound on its /etc/resolv.conf name that resolver, now? */
bool host_names_are_wanted(const struct spec *spec);

/* Listens in the sandbox's directory; ns_fd, the namespace, stays the caller's and need not stay.
 */
int host_names_new(struct loop *loop, const char *directory, int ns_fd,
		   struct host_names **ret_names, struct error **ret_error);
/* Ends every connection. */
void host_names_free(struct host_names *names);
DEFINE_CLEANUP(struct host_names, host_names_free)
