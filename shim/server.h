/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The task server: the services containerd.task.v2.Task and .v3.Task (the same
 * messages), containerd.runtime.sandbox.v1.Sandbox and supermachine.v1.Sandbox over one
 * sandbox.
 */
#pragma once

#include "base/error.h"
#include "sandbox/sandbox.h"
#include "shim/events.h"

struct server;

/* Serves the listening socket (taken over, on failure too); the observer of options is the
 * server.  events outlive it; NULL: nobody to tell; in CLI mode OOM kills alone are told.  The loop
 * quits after Shutdown, when nothing is left and the last events are out. */
int server_new(struct loop *loop, int listen_fd, const struct sandbox_options *options,
	       struct events *events, struct server **ret_server, struct error **ret_error);
/* Ends every task and then the loop. */
void server_terminate(struct server *server);
void server_free(struct server *server);
DEFINE_CLEANUP(struct server, server_free)
