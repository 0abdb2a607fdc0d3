/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checkpoint under way: the container is frozen, its machine paused and saved, the files get
 * their names, and the container goes on or ends.  Whatever fails, it goes on as it was, and of
 * the files nothing is left.
 *
 *   agent "Pause" ─► input held ─► VMM "pause" ─► VMM "save" ─► volumes ─► manifest, names
 *                                                                              │
 *   (agent "Resume") ◄─ input goes on ◄─ VMM "resume" ◄────────────────────────┴─► the machine is
 * killed
 *
 * The freezer comes first so that nothing of the container's is on its way to the host when the
 * vCPUs stop (a connection that poses as the agent's, see vmm.h), and runs again only when
 * the restored machine has its clock, random numbers and streams.
 *
 * With a parent, only what has changed in the memory is written.  One with the memory alone, for a
 * parent, is "save_memory" and the manifest, while the machine runs.
 */
#pragma once

#include "base/error.h"
#include "protocol/task.pb-c.h"
#include "ttrpc/ttrpc.h"

struct checkpoint;
struct container;

/* Answers the call when it is done. */
void container_checkpoint(struct container *container, struct ttrpc_call *call,
			  const Task__CheckpointTaskRequest *request);
/* The container goes away. */
void checkpoint_free(struct checkpoint *checkpoint);
