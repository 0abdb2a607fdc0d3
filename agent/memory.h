/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's memory grows, and shrinks, as the host asks for it: by its memory device
 * (virtio-mem), whose driver does the work.  Here it gets its driver, the kernel learns what new
 * memory is for, and the host what came of it.
 */
#pragma once

#include <stdint.h>

#include "ttrpc/ttrpc.h"

struct agent;
struct memory_wait;

/* How much there is, before anything has come.  Once, at the guest's start. */
void memory_note(void);
/* Answers the call (Agent.MemoryResponse) when the guest has mib MiB more than at its start, or
 * does not come nearer to that any more. */
void memory_await(struct agent *agent, uint64_t mib, struct ttrpc_call *call);
/* The calls that wait fail: nobody hears of it. */
void memory_give_up(struct agent *agent);
