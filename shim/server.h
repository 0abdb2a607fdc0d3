/*
 * The task server: the services containerd.task.v2.Task and .v3.Task (the same
 * messages) and supermachine.v1.Sandbox over one sandbox.
 */
#pragma once

#include "base/error.h"
#include "shim/sandbox.h"

struct server;

/* Serves the listening socket (taken over, on failure too). */
int server_new(struct loop *loop, int listen_fd, const struct sandbox_options *options,
	       struct server **ret_server, struct error **ret_error);
/* Ends every task and then the loop. */
void server_terminate(struct server *server);
void server_free(struct server *server);
DEFINE_CLEANUP(struct server, server_free)
