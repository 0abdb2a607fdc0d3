/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task (a container's init) or an exec, and the states it goes through.
 *
 *   CREATING ─► CREATED ─► STARTING ─► RUNNING ◄─► PAUSED
 *       │        │ ▲ │         │          │          │
 *       │        ▼ │ └─────────┴────► DRAINING ◄─────┘   the process has ended
 *       │        HELD ────────────────►   │
 *       ▼                                 ▼
 *    (removed)                         STOPPED ─► DELETING ─► (removed)
 *
 * HELD is paused before the start: paused to everyone who asks, and CREATED again once
 * it is resumed.
 *
 * A process that has ended is stopped to everyone who asks, at once: State, Kill,
 * Exec, Start and Delete agree.  What is still to be done until STOPPED (output is
 * written out, the machine ends) is waited for by those who wait: Wait, and a Delete
 * that came early.
 *
 * CREATING, HELD and PAUSED are init's only.  An exec is CREATED when it is known,
 * and reaches the agent at its start; one that was never started may be deleted.
 * One table says what may be asked in which state and which state may follow.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/error.h"
#include "protocol/task.pb-c.h"
#include "runtime-spec/state.h"
#include "sandbox/stdio/stdio.h"
#include "ttrpc/ttrpc.h"

struct container;
struct sandbox;

/* How a process ends that a signal of ours has ended, or its guest. */
#define STATUS_KILLED (128 + SIGKILL)

enum task_state {
	TASK_CREATING,
	TASK_CREATED,
	TASK_HELD,
	TASK_STARTING,
	TASK_RUNNING,
	TASK_PAUSED,
	TASK_DRAINING,
	TASK_STOPPED,
	TASK_DELETING,
};

enum task_operation {
	TASK_OP_START,
	TASK_OP_KILL,
	TASK_OP_DELETE,
	TASK_OP_PAUSE,
	TASK_OP_RESUME,
	TASK_OP_EXEC,	 /* a new exec in this (init's) container, or its start */
	TASK_OP_INSPECT, /* stats, processes, update */
};

struct task {
	struct sandbox *sandbox;
	struct container *container; /* NULL: gone; only late callbacks still know the task */
	unsigned references;
	char *id;
	char *exec_id; /* "" for init */
	enum task_state state;
	char *names[STDIO_COUNT];
	bool terminal;
	uint32_t width, height; /* the terminal's size; 0: unknown */
	struct stdio *stdio;
	bool with_agent; /* the agent knows it */

	uint8_t *process; /* an exec's JSON */
	size_t process_size;
	struct ttrpc_call *start_call; /* Start is under way */

	/* From DRAINING on, or while STARTING if it ended before Start was done. */
	bool ended;
	struct ttrpc_call *delete_call; /* of an exec: waits until it has stopped */
	bool drained;
	uint32_t exit_status;
	unsigned exit_signal; /* 0: it exited */
	uint64_t exited_ns;

	struct ttrpc_call **waiters;
	size_t n_waiters;
	uint64_t signalled_ns;	   /* when a signal was last delivered (monotonic); 0: never */
	struct ttrpc_call **kills; /* SIGKILLs that have been delivered */
	size_t n_kills;
	struct source *kill_timer;
	struct task *next; /* of the container's execs */
};

struct task *task_new(struct container *container, const char *exec_id,
		      const struct stdio_names *names);
/* A callback that may come late holds a reference. */
struct task *task_ref(struct task *task);
void task_unref(struct task *task);

static inline bool task_is_init(const struct task *task)
{
	return task->exec_id[0] == '\0';
}

/* The only way to change a state: checks it against the table, traces it, and
 * tells containerd (task-events.h). */
void task_set_state(struct task *task, enum task_state state);
/* May this be asked now?  If not, an error in runc's words: EBUSY, or ENOENT for
 * a process that has ended. */
int task_check(const struct task *task, enum task_operation operation, struct error **ret_error);
/* The process runs, or may still come to run. */
bool task_is_alive(const struct task *task);
Task__Status task_status(const struct task *task);
enum container_status task_container_status(const struct task *task);

/* Keeps a call that is to be answered later; the array is the owner's to free. */
static inline void call_keep(struct ttrpc_call ***calls, size_t *n, struct ttrpc_call *call)
{
	*calls = xreallocarray(*calls, *n + 1, sizeof(**calls));
	(*calls)[(*n)++] = call;
}
/* Answers the Kill when the process has ended, at once if it has, and in any case soon. */
void task_await_end(struct task *task, struct ttrpc_call *call);
/* The process has ended: answers those. */
void task_tell_end(struct task *task);
/* Answers the call when the task has stopped, at once if it has. */
void task_wait(struct task *task, struct ttrpc_call *call);
/* With the task's end. */
void task_answer_delete(const struct task *task, struct ttrpc_call *call);
/* STOPPED: answers the calls that wait. */
void task_stop(struct task *task);
