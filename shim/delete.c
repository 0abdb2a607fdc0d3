/* The end of things: Delete, Shutdown, and what waits until all is gone. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "shim/sandbox.h"
#include "ttrpc/any.h"

/* How long a server that ends waits for containerd to take its last events. */
#define EVENTS_DRAIN_MS 10000

static void answer_delete(const struct task *task, struct ttrpc_call *call)
{
	Task__DeleteResponse response = TASK__DELETE_RESPONSE__INIT;
	Task__Timestamp exited_at;

	timestamp_init(&exited_at, task->exited_ns);
	response.pid = (uint32_t)task->sandbox->pid;
	response.exit_status = task->exit_status;
	response.exited_at = &exited_at;
	ttrpc_call_reply(call, &response.base);
}

/* ---- init ---- */

static void delete_done(struct container *container)
{
	struct sandbox *sandbox = container->sandbox;

	answer_delete(container->init, TAKE_PTR(container->delete_call));
	container_free(container);
	sandbox_when_gone(sandbox);
}

static void poststop_done(void *data, const struct error *error)
{
	struct container *container = data;

	(void)error; /* each failure has been logged */
	container->hooks = NULL;
	delete_done(container);
}

static void delete_stopped(struct container *container)
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

static void kill_init(struct container *container)
{
	Agent__SignalRequest request = AGENT__SIGNAL_REQUEST__INIT;

	request.id = container->id;
	request.signal = SIGKILL;
	agent_client_call(container->sandbox->agent, "Signal", &request.base,
			  &agent__empty__descriptor, AGENT_TIMEOUT_MS, NULL, NULL);
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
		sandbox_abort_create(container, error);
	} else if (container->init->state != TASK_CREATED) {
		sandbox_when_gone(sandbox);
	} else if (sandbox_is_needed(sandbox, container) && sandbox->agent_ready &&
		   !sandbox->lost) {
		/* As runc: one that was never started is killed. */
		kill_init(container);
	} else {
		/* Nothing of the user's has run, so the whole machine goes at once. */
		sandbox_lost(sandbox, "it was deleted before its start");
	}
}

/* ---- execs ---- */

static void remove_exec(struct task *task)
{
	for (struct task **link = &task->container->execs; *link; link = &(*link)->next) {
		if (*link != task)
			continue;
		*link = task->next;
		task->container = NULL;
		task_unref(task);
		return;
	}
}

static void delete_exec(struct task *task, struct ttrpc_call *call)
{
	Agent__DeleteRequest request = AGENT__DELETE_REQUEST__INIT;
	struct sandbox *sandbox = task->sandbox;

	task_set_state(task, TASK_DELETING);
	/* Nothing hangs on the agent's answer: what it forgets is its own. */
	if (task->with_agent && sandbox->agent_ready && !sandbox->lost) {
		request.id = task->id;
		request.exec_id = task->exec_id;
		agent_client_call(sandbox->agent, "Delete", &request.base,
				  &agent__empty__descriptor, AGENT_TIMEOUT_MS, NULL, NULL);
	}
	/* One that never ran still has its stdio, with a logger perhaps. */
	stdio_free(task->stdio);
	task->stdio = NULL;
	answer_delete(task, call);
	remove_exec(task);
}

void sandbox_delete(struct task *task, struct ttrpc_call *call)
{
	struct error *error = NULL;

	if (task_check(task, TASK_OP_DELETE, &error) < 0)
		sandbox_fail(call, error);
	else if (task_is_init(task))
		delete_init(task->container, call);
	else
		delete_exec(task, call);
}

/* ---- gone ---- */

static void told(void *data)
{
	struct sandbox *sandbox = data;

	loop_quit(sandbox->loop);
}

static void quit(struct sandbox *sandbox)
{
	Task__Empty response = TASK__EMPTY__INIT;

	if (sandbox->quitting)
		return;
	sandbox->quitting = true;
	if (sandbox->shutdown_call)
		ttrpc_call_reply(TAKE_PTR(sandbox->shutdown_call), &response.base);
	if (events_waiting(sandbox->options.events) > 0)
		events_drain(sandbox->options.events, EVENTS_DRAIN_MS, told, sandbox);
	else
		told(sandbox);
}

/* Goes on with a container's end if it waits for no more; true if it is no more. */
static bool go_on(struct container *container)
{
	struct sandbox *sandbox = container->sandbox;
	bool gone = !sandbox->machine && !sandbox->agent;

	/* The machine stays as long as another container needs it. */
	if (!gone && !(container->released && sandbox_is_needed(sandbox, container)))
		return false;
	if (gone && container->leaving && container->init->state == TASK_DRAINING)
		task_stop(container->init);
	if (container->create_error)
		sandbox_create_gone(container);
	else if (container->delete_call && container->init->state == TASK_STOPPED)
		delete_stopped(container);
	else
		return false;
	for (const struct container *left = sandbox->containers; left; left = left->next)
		if (left == container)
			return false;
	return true;
}

void sandbox_when_gone(struct sandbox *sandbox)
{
	struct container *container = sandbox->containers;

	/* One that goes takes others along on its way: start anew. */
	while (container)
		container = go_on(container) ? sandbox->containers : container->next;
	if (!sandbox->shutting_down || sandbox->machine || sandbox->agent)
		return;
	for (container = sandbox->containers; container; container = container->next)
		if (container->init->state != TASK_STOPPED)
			return;
	quit(sandbox);
}

void sandbox_shutdown(struct sandbox *sandbox, struct ttrpc_call *call, bool now)
{
	Task__Empty response = TASK__EMPTY__INIT;

	if ((sandbox->containers && !now) || sandbox->shutting_down) {
		if (call)
			ttrpc_call_reply(call, &response.base);
		return;
	}
	sandbox->shutting_down = true;
	sandbox->shutdown_call = call;
	sandbox_lost(sandbox, "the task server is told to end");
	sandbox_when_gone(sandbox);
}
