/* Starting a container's task server (HACKING.md "The flow of one run", 1). */
#pragma once

#include "runtime-spec/container.h"
#include "runtime-spec/verb.h"

/* Listens on ROOT/ID/task.sock, starts `containerd-shim-supermachine-v1 serve` there
 * in a session of its own, and connects. The state, with its server_pid, is saved before
 * the server runs. The server is the caller's child until the caller ends. */
int server_start(struct container *container, const struct globals *globals,
		 struct error **ret_error);
/* The end of ROOT/ID/server.log as one line, NULL when it is empty; caller frees. */
char *server_last_words(const struct container *container);
