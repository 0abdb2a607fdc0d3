/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a container's task server (doc/flow.md "run", 1). */
#pragma once

#include "client/client.h"
#include "client/handle.h"

/* Listens on ROOT/ID/task.sock, starts `containerd-shim-supermachine-v1 serve` there
 * in a session of its own, and connects. The state, with its server_pid, is saved before
 * the server runs. The server is the caller's child until the caller ends. */
int server_start(struct handle *handle, const struct client *client, struct error **ret_error);
/* The end of ROOT/ID/server.log as one line, NULL when it is empty; caller frees. */
char *server_last_words(const struct handle *handle);
