/* The end of things: Delete, Shutdown, and what waits until all is gone. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "shim/mounts.h"
#include "shim/sandbox.h"
#include "ttrpc/any.h"

/* How long a server that ends waits for containerd to take its last events. */
#define EVENTS_DRAIN_MS 10000

/* What create.c mounted. */
static void remove_root(struct sandbox *sandbox)
{
	_cleanup_free_ char *target = xasprintf("%s/rootfs", sandbox->bundle);
	_cleanup_error_ struct error *error = NULL;

	if (sandbox->mounted && mounts_remove(target, &error) < 0)
		log_warning("%s", error->message);
	sandbox->mounted = false;
}

void sandbox_container_free(struct sandbox *sandbox)
{
	hooks_free(sandbox->hooks);
	sandbox->hooks = NULL;
	source_clear(&sandbox->exec_timer);
	sandbox_unwatch_oom(sandbox);
	sandbox->oom_kills = 0;
	terminal_free(sandbox->terminal);
	sandbox->terminal = NULL;
	while (sandbox->execs) {
		struct task *task = sandbox->execs;

		sandbox->execs = task->next;
		task_unref(task);
	}
	task_unref(sandbox->init);
	sandbox->init = NULL;
	published_free(sandbox->published);
	sandbox->published = NULL;
	forwards_free(sandbox->forwards);
	sandbox->forwards = NULL;
	remove_root(sandbox);
	plan_free(sandbox->plan);
	sandbox->plan = NULL;
	spec_free(sandbox->spec);
	sandbox->spec = NULL;
	free(sandbox->config);
	sandbox->config = NULL;
	free(sandbox->bundle);
	sandbox->bundle = NULL;
	error_free(sandbox->create_error);
	sandbox->create_error = NULL;
	sandbox->hooks_begun = false;
}

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

static void delete_done(struct sandbox *sandbox)
{
	answer_delete(sandbox->init, TAKE_PTR(sandbox->delete_call));
	sandbox_container_free(sandbox);
	sandbox_when_gone(sandbox);
}

static void poststop_done(void *data, const struct error *error)
{
	struct sandbox *sandbox = data;

	(void)error; /* each failure has been logged */
	sandbox->hooks = NULL;
	delete_done(sandbox);
}

static void delete_stopped(struct sandbox *sandbox)
{
	/* A poststart hook that still runs goes with its container; its Start then
	 * fails. */
	hooks_free(sandbox->hooks);
	sandbox->hooks = NULL;
	task_set_state(sandbox->init, TASK_DELETING);
	if (sandbox->spec->hooks.poststop.n_hooks > 0)
		sandbox_run_hooks(sandbox, "poststop", &sandbox->spec->hooks.poststop,
				  STATUS_STOPPED, poststop_done);
	else
		delete_done(sandbox);
}

static void delete_init(struct sandbox *sandbox, struct ttrpc_call *call)
{
	struct error *error = NULL;

	if (sandbox->delete_call) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION, "container %s is being deleted",
				sandbox->init->id);
		return;
	}
	sandbox->delete_call = call;
	if (sandbox->init->state == TASK_CREATING) {
		(void)error_set(&error, ECANCELED,
				"the container was deleted while it was being created");
		sandbox_abort_create(sandbox, error);
	} else if (sandbox->init->state == TASK_CREATED) {
		/* As runc: one that was never started is killed.  Nothing of the
		 * user's has run, so the whole machine goes at once. */
		sandbox_lost(sandbox, "it was deleted before its start");
	} else {
		sandbox_when_gone(sandbox);
	}
}

/* ---- execs ---- */

static void remove_exec(struct task *task)
{
	for (struct task **link = &task->sandbox->execs; *link; link = &(*link)->next) {
		if (*link != task)
			continue;
		*link = task->next;
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
	answer_delete(task, call);
	remove_exec(task);
}

void sandbox_delete(struct task *task, struct ttrpc_call *call)
{
	struct error *error = NULL;

	if (task_check(task, TASK_OP_DELETE, &error) < 0)
		sandbox_fail(call, error);
	else if (task_is_init(task))
		delete_init(task->sandbox, call);
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

	if (sandbox->shutdown_call)
		ttrpc_call_reply(TAKE_PTR(sandbox->shutdown_call), &response.base);
	if (events_waiting(sandbox->options.events) > 0)
		events_drain(sandbox->options.events, EVENTS_DRAIN_MS, told, sandbox);
	else
		told(sandbox);
}

void sandbox_when_gone(struct sandbox *sandbox)
{
	if (sandbox->machine || sandbox->agent)
		return;
	if (sandbox->create_error)
		sandbox_create_gone(sandbox);
	else if (sandbox->delete_call && sandbox->init->state == TASK_STOPPED)
		delete_stopped(sandbox);
	else if (sandbox->shutting_down && (!sandbox->init || sandbox->init->state == TASK_STOPPED))
		quit(sandbox);
}

void sandbox_shutdown(struct sandbox *sandbox, struct ttrpc_call *call, bool now)
{
	Task__Empty response = TASK__EMPTY__INIT;

	if ((sandbox->init && !now) || sandbox->shutting_down) {
		if (call)
			ttrpc_call_reply(call, &response.base);
		return;
	}
	sandbox->shutting_down = true;
	sandbox->shutdown_call = call;
	if (sandbox->init)
		sandbox_lost(sandbox, "the task server is told to end");
	sandbox_when_gone(sandbox);
}
