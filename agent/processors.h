/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's CPUs: as many are online as the task server wants.  Linux does not bring one online
 * by itself that the machine has just got (vmm/x86_64/acpi.c), and it takes its time to know it.
 *
 * A container's cpuset names CPUs of the host (cpuset.h): it is mapped anew with each change.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "ttrpc/ttrpc.h"

struct agent;
struct processors;

struct processors *processors_new(struct agent *agent);
/* Calls that wait fail. */
void processors_free(struct processors *processors);
/* The connection has ended: calls that wait are answered, to nobody, and nothing more is done. */
void processors_forget(struct processors *processors);
/* The first count (> 0) CPUs are to be online, and the others offline, in place of what was wanted
 * before.  The call is answered when they are: with an error if one has not come within some
 * seconds, or does not start.  One that does not go offline stays, which the log tells. */
void processors_set(struct processors *processors, uint32_t count, struct ttrpc_call *call);
