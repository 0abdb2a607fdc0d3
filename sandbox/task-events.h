/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What containerd is told of a task (its README "Events"): the one place where
 * events are made.
 *
 * They follow from the steps of the state table (task.h), so their order is the
 * table's: create < start < exit < delete, exec-added < exec-started < exit.  A
 * process that dies at once is still RUNNING first, and init is STOPPED only after
 * every exec is (exit.c).
 */
#pragma once

#include "sandbox/task.h"

/* task->state has just followed on `from`. */
void task_events_changed(const struct task *task, enum task_state from);
/* The guest's kernel has killed something of init's container for want of memory. */
void task_events_oom(const struct task *task);
/* A new exec is known. */
void task_events_exec_added(const struct task *task);
