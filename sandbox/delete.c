/* SPDX-License-Identifier: Apache-2.0 */
/* Delete of a container and of an exec. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "sandbox/sandbox.h"
#include "ttrpc/any.h"

/* How long after a signal a container may end for a Delete that came between. */
#define SIGNAL_PATIENCE_MS 5000

/* ---- init ---- */

static void delete_done(struct container *container)
{
	task_answer_delete(container->init, TAKE_PTR(container->delete_call));
	container_free(container);
}

static void poststop_done(void *data, const struct error *error)
{
	struct container *container = data;

	(void)error; /* each failure has been logged */
	container->hooks = NULL;
	delete_done(container);
}

void container_finish_delete(struct container *container)
{
	/* A poststart hook that still runs goes with its container; its Start then
	 * fails. */
	hooks_free(container->hooks);
	container->hooks = NULL;
	task_set_state(container->init, TASK_DELETING);
	if (container->spec->hooks.poststop.n_hooks > 0)
		container_run_hooks(container, "poststop", &container->spec->hooks.poststop,
				    STATUS_STOPPED, poststop_done);
	else
		delete_done(container);
}

/* An agent that does not do that much does nothing any more. */
static void init_killed(void *data, const ProtobufCMessage *response, const struct error *error)
{
	(void)response;
	if (error && error->code == ETIMEDOUT)
		sandbox_lose(data, "the agent did not answer Kill in time");
}

static void kill_init(struct container *container)
{
	Agent__SignalRequest request = AGENT__SIGNAL_REQUEST__INIT;

	request.id = container->guest_id;
	request.signal = SIGKILL;
	agent_client_call(container->sandbox->agent, "Signal", &request.base,
			  &agent__empty__descriptor, AGENT_TIMEOUT_MS, init_killed,
			  container->sandbox);
}

static void delete_init(struct container *container, struct ttrpc_call *call)
{
	struct sandbox *sandbox = container->sandbox;
	struct error *error = NULL;

	if (container->delete_call) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION, "container %s is being deleted",
				container->id);
		return;
	}
	container->delete_call = call;
	if (container->init->state == TASK_CREATING) {
		(void)error_set(&error, ECANCELED,
				"the container was deleted while it was being created");
		container_abort_create(container, error);
	} else if (container->init->state != TASK_CREATED) {
		sandbox_settle(sandbox);
	} else if (sandbox_is_needed(sandbox, container) && sandbox_is_up(sandbox)) {
		/* As runc: one that was never started is killed. */
		kill_init(container);
	} else {
		/* Nothing of the user's has run, so the whole machine goes at once. */
		sandbox_lose(sandbox, "it was deleted before its start");
	}
}

/* The signal has not ended it, or else the Delete goes on by itself. */
static void signal_overdue(void *data)
{
	struct container *container = data;
	struct error *error = NULL;

	container->delete_timer = NULL;
	if (container->init->ended)
		return;
	if (task_check(container->init, TASK_OP_DELETE, &error) < 0)
		call_fail(TAKE_PTR(container->delete_call), error);
	else
		delete_init(container, TAKE_PTR(container->delete_call));
}

/*
 * Delete of a container that runs: refused, unless it has just been sent a signal.  Under
 * runc `kill ID; delete ID` succeeds where the signal ends the program, since that takes
 * less time than to start runc; here the news comes later, and the verb sooner.
 */
static void delete_running(struct container *container, struct ttrpc_call *call,
			   struct error *error)
{
	const uint64_t since_ms = (clock_monotonic_ns() - container->init->signalled_ns) / 1000000;

	if (!container->init->signalled_ns || since_ms >= SIGNAL_PATIENCE_MS ||
	    container->delete_call) {
		call_fail(call, error);
		return;
	}
	error_free(error);
	container->delete_call = call;
	container->delete_timer =
	    loop_add_timer(container->sandbox->loop, SIGNAL_PATIENCE_MS - since_ms, "delete",
			   signal_overdue, container);
}

/* ---- execs ---- */

static void delete_exec(struct task *task, struct ttrpc_call *call)
{
	if (task->delete_call) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION, "process %s is being deleted",
				task->exec_id);
		return;
	}
	task->delete_call = call;
	if (!task->ended || task->state == TASK_STOPPED)
		exec_finish_delete(task);
}

void task_delete(struct task *task, struct ttrpc_call *call)
{
	struct error *error = NULL;
	const bool refused = task_check(task, TASK_OP_DELETE, &error) < 0;

	if (refused && task_is_init(task))
		delete_running(task->container, call, error);
	else if (refused)
		call_fail(call, error);
	else if (task_is_init(task))
		delete_init(task->container, call);
	else
		delete_exec(task, call);
}
