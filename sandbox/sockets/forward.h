/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets of the host that a bundle binds into its container.
 *
 *   program in the guest ─► the agent's socket ─vsock─► VMM ─► us ─► the host's socket
 *
 * Each has a vsock port of its own.  Every program in the guest can reach that port;
 * so a connection begins with the key that only the agent was told, and no socket
 * but those the plan names can be reached at all.  The host's socket is the one that
 * was there when the container was planned: a path that comes to name another one
 * changes nothing, as with a bind mount.
 */
#pragma once

#include "base/doorman.h"
#include "base/error.h"
#include "base/loop.h"
#include "sandbox/plan/plan-files.h"

struct forwards;

/* Connections that a guest may have to sockets of the host, of all containers; and those that have
 * not said their key yet. */
#define FORWARDS_JOINED_MAX 768
#define FORWARDS_HANDSHAKES_MAX 128

/* Listens for every socket of the plan, in the sandbox's directory; NULL in *ret_forwards
 * when it has none.  lodge: of the sandbox's containers; it outlives them.  Copies what it needs of
 * the plan. */
int forwards_new(struct loop *loop, struct lodge *lodge, const char *directory,
		 const struct plan_files *files, struct forwards **ret_forwards,
		 struct error **ret_error);
/* Ends every connection and removes the sockets it listened on. */
void forwards_free(struct forwards *forwards);
DEFINE_CLEANUP(struct forwards, forwards_free)
