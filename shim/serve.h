/* SPDX-License-Identifier: Apache-2.0 */
/* The task server's process, the same behind both front doors (main.c). */
#pragma once

#include "base/error.h"
#include "sandbox/sandbox.h"

/* Serves the socket that came as DAEMON_LISTEN_FD until Shutdown or SIGTERM; its
 * path is the caller's to unlink.  The time limits of options are filled in, and,
 * with a namespace, the publisher to $TTRPC_ADDRESS; its strings outlive the call.
 * oom_namespace: without one, another shim of that namespace publishes what it sees on the host,
 * but not OOM kills; NULL: nobody does. */
int serve(struct sandbox_options *options, const char *oom_namespace, struct error **ret_error);

/* As many descriptors as there may be: each connection of a container's through a forwarded socket
 * takes two, each machine that waits in the pool eight. */
void serve_raise_descriptors(void);
