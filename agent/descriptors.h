/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that a process has from 3 on (Descriptor in protocol/agent.proto): as with stdio,
 * pipes and sockets of the guest's own stand between the connections to the host and it.
 */
#pragma once

#include <stddef.h>

#include "agent/stdio.h"
#include "base/loop.h"
#include "protocol/agent.h"
#include "protocol/agent.pb-c.h"

struct descriptors;

/* child_fds, as many as the list has, are the caller's; on failure there are none. */
int descriptors_new(struct loop *loop, struct stdio_table *table,
		    Agent__Descriptor *const *descriptors, size_t n,
		    struct descriptors **ret_descriptors, int child_fds[AGENT_DESCRIPTORS_MAX],
		    struct error **ret_error);
void descriptors_free(struct descriptors *all);
/* A connection, which does not block, to what listens at this place of the list; else -1. */
int descriptors_connect(const struct descriptors *all, size_t index);
