/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool, for those who ask it: machines that have been started and wait, paused, for a container
 * (doc/decisions/034-pool.md).
 *
 * `supermachine pool` (sandbox/machine-pool.h) listens on RUNTIME/@pool/socket (base/paths.h). A
 * connection has one request, a line of JSON, and its answer:
 *   {"op":"take","version":"…","kind":"…"}  a machine of exactly this kind
 *     → {"pid":N} with the descriptors of struct pool_machine, in its order
 *   {"op":"status","version":"…"}           what waits
 *     → {"wanted":N,"pids":[…]}
 * or {"error":"…"}.  Who takes a machine keeps the connection until it has taken over the machine's
 * directory, which is removed then.  Both ends are the same user's, and of the same version.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define POOL_MACHINES_MAX 256
#define POOL_LINE_MAX 32768
#define POOL_FDS 5
#define POOL_SOCKET "socket"

/* One that was taken: nobody else has any of it.  It ends when its control socket is closed. */
struct pool_machine {
	pid_t pid; /* of the VMM */
	int control;
	int pidfd;
	int agent;     /* the agent's connection, on which nothing has been said */
	int stage;     /* the staging area's root */
	int directory; /* where its vsock socket and its log are */
	int pool;      /* the connection */
};
#define POOL_MACHINE_NONE ((struct pool_machine){ 0, -1, -1, -1, -1, -1, -1 })
void pool_machine_done(struct pool_machine *machine);

/* RUNTIME/@pool, where the pool is, and its socket; the caller's. */
char *pool_directory(void);
char *pool_socket(void);

/* ENOENT: no such machine waits, or no pool runs.  Waits for a fraction of a second at most. */
int pool_take(const char *kind, struct pool_machine *ret_machine, struct error **ret_error);

struct pool_status {
	uint64_t wanted;
	pid_t pids[POOL_MACHINES_MAX];
	size_t n_pids;
};
int pool_ask_status(struct pool_status *ret_status, struct error **ret_error);
