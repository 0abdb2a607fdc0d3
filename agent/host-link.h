/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's two ways to the host: the connection it dials and serves, and the
 * port where it takes stdio streams. */
#pragma once

#include "agent/agent.h"

struct host_link;

/* Listens for streams, dials, and dials again whenever the connection ends (the
 * machine may have been restored elsewhere). */
int host_link_new(struct agent *agent, struct host_link **ret_link, struct error **ret_error);
void host_link_free(struct host_link *link);
DEFINE_CLEANUP(struct host_link, host_link_free)
