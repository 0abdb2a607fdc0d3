/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox that is kept: its machine is asked for, started and stopped by itself, as
 * containerd's Sandbox API has it (containerd.runtime.sandbox.v1), and its containers come
 * and go.  They have the machine's network; an ipc or UTS namespace whose path is that of
 * the sandbox's process is the guest's own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "protocol/cri.pb-c.h"
#include "protocol/sandbox-api.pb-c.h"
#include "ttrpc/ttrpc.h"

struct container;
struct machine_plan;
struct sandbox;

struct kept {
	struct machine_plan *plan; /* until it is started */
	uint64_t started_ns, ended_ns;
	bool stopping; /* it has been told to end */
	struct ttrpc_call *start_call;
	struct ttrpc_call **waiters, **stops; /* WaitSandbox, StopSandbox: till GONE */
	size_t n_waiters, n_stops;
};

void kept_free(struct kept *kept);

/* ---- requests (each ends the call, now or later) ---- */

/* Plans the machine.  Refuses a sandbox that has containers, or has been created. */
void kept_create(struct sandbox *sandbox, struct ttrpc_call *call,
		 const SandboxApi__CreateSandboxRequest *request);
/* Answered when the machine is ready for containers. */
void kept_start(struct sandbox *sandbox, struct ttrpc_call *call);
/* Answered when the machine is gone; containers that live end with 137. */
void kept_stop(struct sandbox *sandbox, struct ttrpc_call *call);
void kept_wait(struct sandbox *sandbox, struct ttrpc_call *call);
void kept_status(const struct sandbox *sandbox, struct ttrpc_call *call, bool verbose);

/* ---- what becomes of the machine ---- */

void kept_on_ready(struct sandbox *sandbox);
void kept_on_lost(struct sandbox *sandbox, const char *reason, const struct error *cause);
/* Nothing is left. */
void kept_on_gone(struct sandbox *sandbox);
