/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks and their states: see task.h. */
#include "sandbox/task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "sandbox/sandbox.h"
#include "sandbox/task-events.h"
#include "ttrpc/any.h"

#define BIT(n) (1u << (n))
/* How long a process may take to die of SIGKILL until its Kill is answered all the same. */
#define KILL_PATIENCE_MS 5000

static const struct {
	const char *name;
	unsigned next;	   /* the states that may follow */
	unsigned init_may; /* what may be asked of init */
	unsigned exec_may; /* … of an exec */
	Task__Status status;
	enum container_status container_status;
} states[] = {
	[TASK_CREATING] = { "creating", BIT(TASK_CREATED), BIT(TASK_OP_KILL) | BIT(TASK_OP_DELETE),
			    0, TASK__STATUS__UNKNOWN, STATUS_CREATING },
	[TASK_CREATED] = { "created",
			   BIT(TASK_HELD) | BIT(TASK_STARTING) | BIT(TASK_DRAINING) |
			       BIT(TASK_DELETING),
			   BIT(TASK_OP_START) | BIT(TASK_OP_KILL) | BIT(TASK_OP_DELETE) |
			       BIT(TASK_OP_PAUSE) | BIT(TASK_OP_EXEC) | BIT(TASK_OP_INSPECT),
			   BIT(TASK_OP_START) | BIT(TASK_OP_DELETE), TASK__STATUS__CREATED,
			   STATUS_CREATED },
	[TASK_HELD] = { "held", BIT(TASK_CREATED) | BIT(TASK_DRAINING),
			BIT(TASK_OP_KILL) | BIT(TASK_OP_RESUME) | BIT(TASK_OP_INSPECT), 0,
			TASK__STATUS__PAUSED, STATUS_PAUSED },
	[TASK_STARTING] = { "starting",
			    BIT(TASK_CREATED) | BIT(TASK_RUNNING) | BIT(TASK_DRAINING) |
				BIT(TASK_STOPPED),
			    BIT(TASK_OP_KILL) | BIT(TASK_OP_INSPECT), BIT(TASK_OP_KILL),
			    TASK__STATUS__CREATED, STATUS_CREATED },
	[TASK_RUNNING] = { "running", BIT(TASK_PAUSED) | BIT(TASK_DRAINING),
			   BIT(TASK_OP_KILL) | BIT(TASK_OP_PAUSE) | BIT(TASK_OP_EXEC) |
			       BIT(TASK_OP_INSPECT),
			   BIT(TASK_OP_KILL), TASK__STATUS__RUNNING, STATUS_RUNNING },
	[TASK_PAUSED] = { "paused", BIT(TASK_RUNNING) | BIT(TASK_DRAINING),
			  BIT(TASK_OP_KILL) | BIT(TASK_OP_RESUME) | BIT(TASK_OP_INSPECT), 0,
			  TASK__STATUS__PAUSED, STATUS_PAUSED },
	[TASK_DRAINING] = { "ending", BIT(TASK_STOPPED), BIT(TASK_OP_DELETE), BIT(TASK_OP_DELETE),
			    TASK__STATUS__STOPPED, STATUS_STOPPED },
	[TASK_STOPPED] = { "stopped", BIT(TASK_DELETING), BIT(TASK_OP_DELETE), BIT(TASK_OP_DELETE),
			   TASK__STATUS__STOPPED, STATUS_STOPPED },
	[TASK_DELETING] = { "deleting", 0, 0, 0, TASK__STATUS__STOPPED, STATUS_STOPPED },
};

/* What may be asked of it, and what it is told to be. */
static enum task_state shown_state(const struct task *task)
{
	return task->ended && task->state < TASK_DRAINING ? TASK_DRAINING : task->state;
}

struct task *task_new(struct container *container, const char *exec_id,
		      const struct stdio_names *names)
{
	struct task *task = xcalloc(1, sizeof(*task));

	task->sandbox = container->sandbox;
	task->container = container;
	task->references = 1;
	task->id = xstrdup(container->id);
	task->exec_id = xstrdup(exec_id);
	task->terminal = names->terminal;
	for (size_t i = 0; i < STDIO_COUNT; i++)
		task->names[i] = xstrdup(names->names[i]);
	task->state = exec_id[0] ? TASK_CREATED : TASK_CREATING;
	return task;
}

struct task *task_ref(struct task *task)
{
	task->references++;
	return task;
}

void task_unref(struct task *task)
{
	if (!task || --task->references > 0)
		return;
	for (size_t i = 0; i < task->n_waiters; i++)
		ttrpc_call_fail(task->waiters[i], TTRPC_NOT_FOUND, "process %s was removed",
				task_is_init(task) ? task->id : task->exec_id);
	free(task->waiters);
	if (task->start_call)
		ttrpc_call_fail(task->start_call, TTRPC_ABORTED,
				"the process was removed while it was being started");
	if (task->delete_call)
		ttrpc_call_fail(task->delete_call, TTRPC_NOT_FOUND, "process %s was removed",
				task->exec_id);
	task_tell_end(task);
	stdio_free(task->stdio);
	for (size_t i = 0; i < STDIO_COUNT; i++)
		free(task->names[i]);
	free(task->process);
	free(task->exec_id);
	free(task->id);
	free(task);
}

void task_set_state(struct task *task, enum task_state state)
{
	const char *what = task_is_init(task) ? "task" : "exec";
	const char *name = task_is_init(task) ? task->id : task->exec_id;
	enum task_state from = task->state;

	/* A step the table does not have is a mistake of ours, never a peer's:
	 * going on in an unknown state could lose a container. */
	if (!(states[task->state].next & BIT(state))) {
		log_error("%s %s cannot go from %s to %s", what, name, states[task->state].name,
			  states[state].name);
		abort();
	}
	log_debug("%s %s: %s -> %s", what, name, states[task->state].name, states[state].name);
	task->state = state;
	task_events_changed(task, from);
}

static int refuse_init(const struct task *task, enum task_operation operation,
		       struct error **ret_error)
{
	const char *state = container_status_name(task_container_status(task));
	bool over = shown_state(task) >= TASK_DRAINING;

	switch (operation) {
	case TASK_OP_START:
		if (over)
			return error_set(ret_error, EBUSY,
					 "cannot start a container that has stopped");
		if (task->state == TASK_RUNNING || task->state == TASK_STARTING)
			return error_set(ret_error, EBUSY,
					 "cannot start an already running container");
		return error_set(ret_error, EBUSY, "cannot start a container in the %s state",
				 state);
	case TASK_OP_KILL:
		return error_set(ret_error, ENOENT, "container not running");
	case TASK_OP_DELETE:
		return error_set(ret_error, EBUSY,
				 "cannot delete container %s that is not stopped: %s", task->id,
				 task->state == TASK_DELETING ? "being deleted" : state);
	case TASK_OP_RESUME:
		return error_set(ret_error, EBUSY, "container not paused");
	case TASK_OP_EXEC:
		if (task->state == TASK_PAUSED || task->state == TASK_HELD)
			return error_set(ret_error, EBUSY,
					 "cannot exec in a paused container (use --ignore-paused "
					 "to override)");
		return error_set(ret_error, EBUSY, "cannot exec in a %s container",
				 over ? "stopped" : state);
	case TASK_OP_INSPECT:
		return error_set(ret_error, ENOENT, "container not running");
	case TASK_OP_PAUSE:
		break;
	}
	return error_set(ret_error, EBUSY, "container not running");
}

int task_check(const struct task *task, enum task_operation operation, struct error **ret_error)
{
	const enum task_state state = shown_state(task);
	unsigned may = task_is_init(task) ? states[state].init_may : states[state].exec_may;

	if (may & BIT(operation) && task->container->checkpoint &&
	    BIT(operation) &
		(BIT(TASK_OP_START) | BIT(TASK_OP_PAUSE) | BIT(TASK_OP_RESUME) | BIT(TASK_OP_EXEC)))
		return error_set(ret_error, EBUSY, "container %s is being checkpointed", task->id);
	if (operation == TASK_OP_START && task_is_init(task) && task->container->freezing)
		return error_set(ret_error, EBUSY, "container %s is being paused", task->id);
	if (may & BIT(operation))
		return 0;
	if (task_is_init(task))
		return refuse_init(task, operation, ret_error);
	if (operation == TASK_OP_KILL && task->state != TASK_CREATED)
		return error_set(ret_error, ENOENT, "process already finished");
	if (operation == TASK_OP_KILL)
		return error_set(ret_error, EBUSY, "process not created");
	if (operation == TASK_OP_START && state >= TASK_DRAINING)
		return error_set(ret_error, EBUSY, "cannot start a process that has stopped");
	if (operation == TASK_OP_START)
		return error_set(ret_error, EBUSY, "cannot start an already running process");
	return error_set(ret_error, EBUSY, "cannot delete process %s that is not stopped: %s",
			 task->exec_id, states[task->state].name);
}

bool task_is_alive(const struct task *task)
{
	return task->state == TASK_STARTING || task->state == TASK_RUNNING ||
	       task->state == TASK_PAUSED || task->state == TASK_DRAINING;
}

Task__Status task_status(const struct task *task)
{
	return states[shown_state(task)].status;
}

enum container_status task_container_status(const struct task *task)
{
	return states[shown_state(task)].container_status;
}

void task_tell_end(struct task *task)
{
	Task__Empty response = TASK__EMPTY__INIT;

	source_clear(&task->kill_timer);
	for (size_t i = 0; i < task->n_kills; i++)
		ttrpc_call_reply(task->kills[i], &response.base);
	free(task->kills);
	task->kills = NULL;
	task->n_kills = 0;
}

static void kill_overdue(void *data)
{
	struct task *task = data;

	task->kill_timer = NULL;
	log_debug("the process lives %d ms after its SIGKILL", KILL_PATIENCE_MS);
	/* Its end is due: a Delete waits for it once more. */
	task->signalled_ns = clock_monotonic_ns();
	task_tell_end(task);
}

void task_await_end(struct task *task, struct ttrpc_call *call)
{
	call_keep(&task->kills, &task->n_kills, call);
	if (task->ended || !task->container)
		task_tell_end(task);
	else if (!task->kill_timer)
		task->kill_timer = loop_add_timer(task->sandbox->loop, KILL_PATIENCE_MS, "kill",
						  kill_overdue, task);
}

static void answer_wait(const struct task *task, struct ttrpc_call *call)
{
	Task__WaitResponse response = TASK__WAIT_RESPONSE__INIT;
	Task__Timestamp exited_at = TASK__TIMESTAMP__INIT;

	timestamp_init(&exited_at, task->exited_ns);
	response.exit_status = task->exit_status;
	response.exited_at = &exited_at;
	ttrpc_call_reply(call, &response.base);
}

void task_wait(struct task *task, struct ttrpc_call *call)
{
	if (task->state == TASK_STOPPED || task->state == TASK_DELETING) {
		answer_wait(task, call);
		return;
	}
	call_keep(&task->waiters, &task->n_waiters, call);
}

void task_answer_delete(const struct task *task, struct ttrpc_call *call)
{
	Task__DeleteResponse response = TASK__DELETE_RESPONSE__INIT;
	Task__Timestamp exited_at;

	timestamp_init(&exited_at, task->exited_ns);
	response.pid = (uint32_t)task->sandbox->pid;
	response.exit_status = task->exit_status;
	response.exited_at = &exited_at;
	ttrpc_call_reply(call, &response.base);
}

void task_stop(struct task *task)
{
	size_t n = task->n_waiters;

	task_set_state(task, TASK_STOPPED);
	stdio_free(task->stdio);
	task->stdio = NULL;
	task->n_waiters = 0;
	for (size_t i = 0; i < n; i++)
		answer_wait(task, task->waiters[i]);
	free(task->waiters);
	task->waiters = NULL;
}
