/*
 * One container as the verbs see it: its directory below --root, its lock, and
 * the connection to its task server.
 *
 * Verbs that change a container hold ROOT/ID/lock; those that look, signal or
 * exec do not, so that they work while a `start` waits for a hook.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "runtime-spec/state.h"
#include "ttrpc/task.pb-c.h"
#include "ttrpc/ttrpc.h"

struct container {
	char *root, *id;
	int lock_fd;
	int server_fd;	     /* -1: no server answers */
	struct state *state; /* NULL only for container_open_leftovers() */
};

/* ENOENT: "container does not exist". */
int container_open(const char *root, const char *id, struct container **ret_container,
		   struct error **ret_error);
/* The same, holding the lock. */
int container_open_locked(const char *root, const char *id, struct container **ret_container,
			  struct error **ret_error);
/* For delete --force: whatever is there, even a directory without a readable state.
 * Where the lock is held for longer than a moment, the processes of the container
 * are killed, so that its holder gives up. */
int container_open_leftovers(const char *root, const char *id, struct container **ret_container,
			     struct error **ret_error);
/* A new one, with its directory, locked; the state is the container's to fill.
 * EEXIST: "container with given ID already exists". */
int container_new(const char *root, const char *id, struct container **ret_container,
		  struct error **ret_error);
void container_free(struct container *container);
DEFINE_CLEANUP(struct container, container_free)

/* What the task server says; "stopped" where none answers. */
int container_status(const struct container *container, enum container_status *ret_status,
		     struct error **ret_error);

/* One call of the Task API, to this container's server. ret_response may be NULL.
 * ECONNRESET: there is no server (any more). timeout_ms 0: none. */
int container_call(const struct container *container, const char *method,
		   const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
		   uint64_t timeout_ms, ProtobufCMessage **ret_response, struct error **ret_error);
/* A connection of its own to the server, or -1. */
int container_connect(const struct container *container, struct error **ret_error);

/* Ends the task server and the VMM: asked to first, if there is a server to ask,
 * then killed. */
void container_end_processes(struct container *container);
/* Removes ROOT/ID. */
int container_remove(struct container *container, struct error **ret_error);

#define TASK_SERVICE "containerd.task.v2.Task"
/* For calls that the server answers by itself or with one question to the agent. */
#define CALL_TIMEOUT_MS 10000
