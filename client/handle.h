/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A handle: one container as the verbs see it, with its directory below --root, its
 * lock, and the connection to its task server.
 *
 * Verbs that change a container hold ROOT/ID/lock; those that look, signal or
 * exec do not, so that they work while a `start` waits for a hook.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "protocol/task.pb-c.h"
#include "runtime-spec/state.h"
#include "ttrpc/ttrpc.h"

struct handle {
	char *root, *id;
	int lock_fd;
	int server_fd;	     /* -1: no server answers */
	int cancel_fd;	     /* calls fail with ECANCELED once it can be read; -1: they do not */
	struct state *state; /* NULL only for handle_open_leftovers() */
};

/* ENOENT: "container does not exist". */
int handle_open(const char *root, const char *id, struct handle **ret_handle,
		struct error **ret_error);
/* The same, holding the lock. */
int handle_open_locked(const char *root, const char *id, struct handle **ret_handle,
		       struct error **ret_error);
/* For delete --force: whatever is there, even a directory without a readable state.
 * Where the lock is held for longer than a moment, the processes of the container
 * are killed, so that its holder gives up. */
int handle_open_leftovers(const char *root, const char *id, struct handle **ret_handle,
			  struct error **ret_error);
/* A new one, with its directory, locked; the state is the container's to fill.
 * EEXIST: "container with given ID already exists". */
int handle_new(const char *root, const char *id, struct handle **ret_handle,
	       struct error **ret_error);
void handle_free(struct handle *handle);
DEFINE_CLEANUP(struct handle, handle_free)

/* What the task server says, with the pid where the state has none yet; where none
 * answers "creating" as long as somebody creates it, else "stopped". */
int handle_status(const struct handle *handle, enum container_status *ret_status,
		  struct error **ret_error);

/* Waits until the container has stopped: its status, as of a shell.  ECONNRESET: nobody knows it
 * any more.  *ret_ended_s: when, in seconds since 1970, 0 where that is not known; may be NULL. */
int handle_wait(const struct handle *handle, uint32_t *ret_exit_status, uint64_t *ret_ended_s,
		struct error **ret_error);

/* One call of the Task API, to this container's server. ret_response may be NULL.
 * ECONNRESET: there is no server (any more). timeout_ms 0: none. */
int handle_call(const struct handle *handle, const char *method, const ProtobufCMessage *request,
		const ProtobufCMessageDescriptor *response, uint64_t timeout_ms,
		ProtobufCMessage **ret_response, struct error **ret_error);
/* A connection of its own to the server, or -1. */
int handle_connect(const struct handle *handle, struct error **ret_error);
/* After ECANCELED: a new connection for calls, which are not given up any more. */
void handle_reconnect(struct handle *handle);

/* Ends the task server and the VMM: asked to first, if there is a server to ask,
 * then killed. */
void handle_end_processes(struct handle *handle);
/* Removes ROOT/ID. */
int handle_remove(struct handle *handle, struct error **ret_error);

#define TASK_SERVICE "containerd.task.v2.Task"
/* For calls that the server answers by itself or with one question to the agent. */
#define CALL_TIMEOUT_MS 10000
