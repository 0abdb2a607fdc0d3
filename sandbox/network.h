/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest has of its machine's network namespace (host/network.h): the agent is told
 * before a container starts, and whenever something has changed since.
 *
 * Callers make interfaces at different times: before Create (Kubernetes, podman), in a hook of
 * it (Docker) or between Create and Start (`ctr run --cni`); some while the container runs.
 */
#pragma once

#include "base/error.h"

/* Changes come in several steps: they are told when this has passed since the first. */
#define NETWORK_SETTLE_MS 50
/* As often as that is something told that the agent refuses, if it is another thing each time. */
#define NETWORK_TELL_MAX 5

struct container;
struct sandbox_network;

/* error: the agent's, or ours; NULL: the guest has all of it.  Once, maybe at once. */
typedef void (*sandbox_network_fn)(void *data, const struct error *error);
/* For a container that is about to start, in a machine that is up. */
void sandbox_network_tell(struct container *container, sandbox_network_fn function, void *data);
/* The machine is gone; NULL is fine. */
void sandbox_network_free(struct sandbox_network *network);
