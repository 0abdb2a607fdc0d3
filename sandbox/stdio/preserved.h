/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that a process has beside its stdio (--preserve-fds, LISTEN_FDS): a stream to the
 * guest stands for each, in one direction or in both; what listens on the host listens in the
 * guest (sandbox/sockets/published.h).
 *
 *   descriptor ◄─pump─► VMM ─vsock─► agent ◄─► pipe or socket of the process
 *
 * Life: preserved_new() → preserved_connect() → preserved_start() → preserved_start_input() →
 * free. NULL is none of them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/loop.h"
#include "protocol/agent.h"
#include "protocol/agent.pb-c.h"
#include "sandbox/vmm.h"
#include "ttrpc/ttrpc.h"

struct preserved;

/* error is the caller's. */
typedef void (*preserved_fn)(void *data, const struct error *error);

/* Takes all that came with the call (NULL: nothing) behind its first ones. whose: "ID/EXEC_ID". */
int preserved_new(struct loop *loop, struct ttrpc_call *call, size_t first, const char *whose,
		  struct preserved **ret_preserved, struct error **ret_error);
/* No function is called any more. */
void preserved_free(struct preserved *preserved);

/* Opens the streams; function is called once, from the loop, when all are there or one failed.
 * (Not if there are none to be opened: then preserved_is_connected().) */
int preserved_connect(struct preserved *preserved, struct vmm *vmm, preserved_fn function,
		      void *data, struct error **ret_error);
bool preserved_is_connected(const struct preserved *preserved);
/* Of the agent's request. */
struct preserved_list {
	Agent__Descriptor descriptors[AGENT_DESCRIPTORS_MAX];
	Agent__Descriptor *pointers[AGENT_DESCRIPTORS_MAX];
};
size_t preserved_list(const struct preserved *preserved, struct preserved_list *ret_list);
/* The agent has them: output flows, and connections come in. */
void preserved_start(struct preserved *preserved, struct vmm *vmm);
/* The program is being started: input flows. */
void preserved_start_input(struct preserved *preserved);
/* All output has been written. */
bool preserved_is_drained(const struct preserved *preserved);
/* Calls function with NULL, from the loop, whenever an output has ended. */
void preserved_on_end(struct preserved *preserved, preserved_fn function, void *data);
