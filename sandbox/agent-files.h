/* SPDX-License-Identifier: Apache-2.0 */
/* The plan's files as the agent is told of them (protocol/agent.proto). */
#pragma once

#include "protocol/agent.pb-c.h"
#include "sandbox/plan/container-plan.h"

struct agent_files;

/* Fills in the request's layers, sources, volumes and root: they refer to the plan
 * and to what is returned, and are valid as long as both.  share: the machine has one. */
struct agent_files *agent_files_new(struct container_plan *plan, bool share,
				    Agent__CreateRequest *request);
void agent_files_free(struct agent_files *files);
