/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How tasks end, and the machine with them.
 *
 *   the agent's Wait answers ─► DRAINING: output is written out ─► STOPPED
 *
 * Init stops only after every exec has (containerd's order of exit events); its
 * pid namespace takes them along, so their Waits answer soon, or are no longer
 * waited for.  Then the machine ends as init did.  The init of the last container
 * stops after that: its pid is the VMM's, and who is told of an end may look.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "sandbox/growth.h"
#include "sandbox/sandbox.h"

/* How long the agent may take to unmount and sync after init's end. */
#define FINISH_TIMEOUT_MS 30000

static void agent_deleted(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct container *container = data;
	struct sandbox *sandbox = container->sandbox;

	(void)response;
	if (error)
		log_debug("the agent's Delete: %.*s", AGENT_TEXT_MAX, error->message);
	container_on_released(container);
	growth_settle(sandbox);
}

void container_release(struct container *container)
{
	Agent__DeleteRequest request = AGENT__DELETE_REQUEST__INIT;
	struct sandbox *sandbox = container->sandbox;

	if (sandbox->state == SANDBOX_READY && !sandbox_is_needed(sandbox, container))
		sandbox_set_state(sandbox, SANDBOX_FINISHING);
	if (!sandbox_is_up(sandbox)) {
		container_on_released(container);
		return;
	}
	request.id = container->guest_id;
	agent_client_call(sandbox->agent, "Delete", &request.base, &agent__empty__descriptor,
			  FINISH_TIMEOUT_MS, agent_deleted, container);
}

static bool execs_alive(const struct container *container)
{
	for (const struct task *task = container->execs; task; task = task->next)
		if (task_is_alive(task))
			return true;
	return false;
}

/* An exec has stopped, or init has been drained: init's turn may have come. */
static void on_task_stopped(struct container *container)
{
	struct task *init = container->init;

	if (init->state != TASK_DRAINING || !init->drained || container->leaving ||
	    execs_alive(container))
		return;
	source_clear(&container->exec_timer);
	container->leaving = true;
	if (sandbox_is_needed(container->sandbox, container))
		task_stop(init);
	container_unwatch_oom(container);
	terminal_free(container->terminal);
	container->terminal = NULL;
	container_release(container);
}

static void drained(void *data, const struct error *error)
{
	struct task *task = data;

	(void)error;
	task->drained = true;
	if (task_is_init(task))
		on_task_stopped(task->container);
	else
		exec_stop(task);
}

void exec_stop(struct task *task)
{
	struct container *container = task->container;

	task_stop(task);
	exec_finish_delete(task);
	on_task_stopped(container);
}

static void execs_overdue(void *data)
{
	struct container *container = data;

	container->exec_timer = NULL;
	for (struct task *task = container->execs; task; task = task->next)
		task_on_end(task, STATUS_KILLED, SIGKILL);
}

static void begin_drain(struct task *task)
{
	struct sandbox *sandbox = task->sandbox;
	struct container *container = task->container;

	task_set_state(task, TASK_DRAINING);
	stdio_drain(task->stdio, sandbox->options.drain_timeout_ms, drained, task);
	if (task_is_init(task) && execs_alive(container))
		container->exec_timer =
		    loop_add_timer(sandbox->loop, sandbox->options.drain_timeout_ms, "execs' end",
				   execs_overdue, container);
}

void task_on_end(struct task *task, uint32_t status, unsigned signal)
{
	bool known =
	    task_is_init(task) ? task->state != TASK_CREATING : task->state != TASK_CREATED;

	if (task->ended || !known || task->state >= TASK_DRAINING)
		return;
	task->ended = true;
	task->exit_status = status;
	task->exit_signal = signal;
	task->exited_ns = clock_realtime_ns();
	task_tell_end(task);
	if (task_is_init(task) && task->container->main) {
		task->sandbox->exit_status = status;
		task->sandbox->exit_signal = signal;
	}
	/* A start is answered before those who wait are told of the end, even of a
	 * process that died at once. */
	if (!task->start_call || task->state != TASK_STARTING)
		begin_drain(task);
}

void task_finish_start(struct task *task)
{
	if (task->ended && task->state < TASK_DRAINING)
		begin_drain(task);
}

/* The agent is trusted no further than a client: an impossible status becomes a
 * possible one. */
static void exit_answered(void *data, const ProtobufCMessage *response, const struct error *error)
{
	const Agent__WaitResponse *exit = (const Agent__WaitResponse *)response;
	struct task *task = data;

	if (!task->container) {
		/* Deleted before the agent told of its end. */
	} else if (error) {
		log_debug("the agent's Wait: %.*s", AGENT_TEXT_MAX, error->message);
		task_on_end(task, STATUS_KILLED, SIGKILL);
		if (task_is_init(task) && task->sandbox->state != SANDBOX_FINISHING)
			sandbox_lose(task->sandbox,
				     "the agent did not report how the container ended");
	} else if (exit->signal > 0 && exit->signal < NSIG) {
		task_on_end(task, 128 + exit->signal, exit->signal);
	} else {
		task_on_end(task, exit->code > 255 ? 255 : exit->code, 0);
	}
	task_unref(task);
}

void task_watch_exit(struct task *task)
{
	Agent__WaitRequest request = AGENT__WAIT_REQUEST__INIT;

	request.id = task->container->guest_id;
	request.exec_id = task->exec_id;
	agent_client_call(task->sandbox->agent, "Wait", &request.base,
			  &agent__wait_response__descriptor, 0, exit_answered, task_ref(task));
}
