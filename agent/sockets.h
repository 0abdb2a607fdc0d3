/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stand-ins for unix sockets of the host that are bound into a container.
 *
 * For each the agent listens on a socket of its own, with the mode and owner of the
 * host's, which is then bind-mounted where config.json says.  A connection to it is
 * forwarded over vsock to the port that the host named, where its key comes first
 * (sandbox/sockets/forward.h).  Only streams work: descriptors and credentials do not cross,
 * and the host's program sees the task server as its peer.
 */
#pragma once

#include "agent/agent.h"
#include "agent/files.h"
#include "base/error.h"

struct sockets;

/* Listens for every source of files that is a socket, and names its stand-in
 * (source->name); NULL in *ret_sockets when there are none. */
int sockets_new(struct agent *agent, const char *id, struct files *files,
		struct sockets **ret_sockets, struct error **ret_error);
/* Ends every connection and removes the stand-ins. */
void sockets_free(struct sockets *sockets);
DEFINE_CLEANUP(struct sockets, sockets_free)
