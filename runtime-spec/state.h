/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host keeps about a container below --root, and the state JSON.
 *
 *   ROOT/ID/               0700, made by `create`, removed by `delete`
 *     state.json           what does not change after create (struct state)
 *     task.sock            the task server (ttrpc)
 *     vsock.sock…          the VMM's side of vsock
 *     share/               empty: where the VMM's staging area is made
 *     sockets/             the host's ends of sockets that the container publishes
 *     lock                 flock()ed by a verb that changes the container
 *     cgroup               the sandbox's cgroup on the host (host/cgroup-place.h)
 *     vmm.pid              the VMM's process (base/process.h)
 *     vmm.log              the VMM's and the guest console's output: its last MiB at most
 *     server.log           the task server's, where --log does not name another; the same
 *
 * Status is never stored: it is asked of the task server, and "stopped" where
 * none answers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define STATE_ID_MAX 255

enum container_status {
	STATUS_CREATING,
	STATUS_CREATED,
	STATUS_RUNNING,
	STATUS_PAUSED,
	STATUS_STOPPED,
};
const char *container_status_name(enum container_status status);

struct state {
	char *id;
	char *bundle;	    /* absolute */
	char *rootfs;	    /* absolute */
	pid_t pid;	    /* the process that stands for the container (the VMM); 0: none yet */
	uint64_t pid_start; /* process_start_time(): tells a reused pid */
	pid_t server_pid;
	uint64_t server_start;
	uint64_t created_ns; /* realtime */
	uid_t owner;
	char *machine_of; /* the container for which its machine was made; NULL: this one */
	char *config;	  /* config.json as it was at create (annotations are read from it) */
};

/* runc's rule: [a-zA-Z0-9_+.-]+, not "." or "..", at most STATE_ID_MAX. */
int state_check_id(const char *id, struct error **ret_error);

/* ROOT/ID or ROOT/ID/name; caller frees. */
char *state_path(const char *root, const char *id, const char *name);

int state_save(const char *root, const struct state *state, struct error **ret_error);
/* ENOENT: "container does not exist: ID" (callers look for these words). */
int state_load(const char *root, const char *id, struct state **ret_state,
	       struct error **ret_error);
void state_free(struct state *state);
DEFINE_CLEANUP(struct state, state_free)

/* The OCI state object (runtime-spec runtime.md "State") as `state` prints it
 * and hooks get it on stdin; pid is given as 0 when stopped. Caller frees. */
char *state_json(const struct state *state, enum container_status status, bool pretty);
