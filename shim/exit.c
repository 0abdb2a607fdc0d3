/*
 * How tasks end, and the machine with them.
 *
 *   the agent's Wait answers ─► DRAINING: output is written out ─► STOPPED
 *
 * Init stops only after every exec has (containerd's order of exit events); its
 * pid namespace takes them along, so their Waits answer soon, or are no longer
 * waited for.  Then the machine ends as init did.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "shim/sandbox.h"

#define STATUS_KILLED (128 + SIGKILL)
/* How long the agent may take to unmount and sync after init's end. */
#define FINISH_TIMEOUT_MS 30000

static void end_machine(struct sandbox *sandbox)
{
	if (!sandbox->machine)
		return;
	machine_exit(sandbox->machine, sandbox->init->exit_status, sandbox->init->exit_signal);
}

static void agent_deleted(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct sandbox *sandbox = data;

	(void)response;
	if (error)
		log_debug("the agent's Delete: %.*s", AGENT_TEXT_MAX, error->message);
	end_machine(sandbox);
}

static void finish_sandbox(struct sandbox *sandbox)
{
	Agent__DeleteRequest request = AGENT__DELETE_REQUEST__INIT;

	sandbox->finishing = true;
	if (!sandbox->agent_ready || sandbox->lost) {
		end_machine(sandbox);
		return;
	}
	request.id = sandbox->init->id;
	agent_client_call(sandbox->agent, "Delete", &request.base, &agent__empty__descriptor,
			  FINISH_TIMEOUT_MS, agent_deleted, sandbox);
}

static bool execs_alive(const struct sandbox *sandbox)
{
	for (const struct task *task = sandbox->execs; task; task = task->next)
		if (task_is_alive(task))
			return true;
	return false;
}

void sandbox_task_stopped(struct sandbox *sandbox)
{
	struct task *init = sandbox->init;

	if (init->state != TASK_DRAINING || !init->drained || execs_alive(sandbox))
		return;
	source_clear(&sandbox->exec_timer);
	task_stop(init);
	sandbox_unwatch_oom(sandbox);
	terminal_free(sandbox->terminal);
	sandbox->terminal = NULL;
	finish_sandbox(sandbox);
	sandbox_when_gone(sandbox);
}

static void drained(void *data, const struct error *error)
{
	struct task *task = data;
	struct sandbox *sandbox = task->sandbox;

	(void)error;
	task->drained = true;
	if (!task_is_init(task))
		task_stop(task);
	sandbox_task_stopped(sandbox);
}

static void execs_overdue(void *data)
{
	struct sandbox *sandbox = data;

	sandbox->exec_timer = NULL;
	for (struct task *task = sandbox->execs; task; task = task->next)
		task_ended(task, STATUS_KILLED, SIGKILL);
}

static void begin_drain(struct task *task)
{
	struct sandbox *sandbox = task->sandbox;

	task_set_state(task, TASK_DRAINING);
	stdio_drain(task->stdio, sandbox->options.drain_timeout_ms, drained, task);
	if (task_is_init(task) && execs_alive(sandbox))
		sandbox->exec_timer =
		    loop_add_timer(sandbox->loop, sandbox->options.drain_timeout_ms, "execs' end",
				   execs_overdue, sandbox);
}

void task_ended(struct task *task, uint32_t status, unsigned signal)
{
	bool known =
	    task_is_init(task) ? task->state != TASK_CREATING : task->state != TASK_CREATED;

	if (task->ended || !known || task->state >= TASK_DRAINING)
		return;
	task->ended = true;
	task->exit_status = status;
	task->exit_signal = signal;
	task->exited_ns = clock_realtime_ns();
	/* A start is answered before the end shows, even of a process that died
	 * at once. */
	if (!task->start_call || task->state != TASK_STARTING)
		begin_drain(task);
}

void task_start_over(struct task *task)
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
	struct sandbox *sandbox = task->sandbox;

	if (error) {
		log_debug("the agent's Wait: %.*s", AGENT_TEXT_MAX, error->message);
		task_ended(task, STATUS_KILLED, SIGKILL);
		if (sandbox->init == task && !sandbox->finishing)
			sandbox_lost(sandbox, "the agent does not tell how the container ended");
	} else if (exit->signal > 0 && exit->signal < NSIG) {
		task_ended(task, 128 + exit->signal, exit->signal);
	} else {
		task_ended(task, exit->code > 255 ? 255 : exit->code, 0);
	}
	task_unref(task);
}

void sandbox_watch_exit(struct task *task)
{
	Agent__WaitRequest request = AGENT__WAIT_REQUEST__INIT;

	request.id = task->id;
	request.exec_id = task->exec_id;
	agent_client_call(task->sandbox->agent, "Wait", &request.base,
			  &agent__wait_response__descriptor, 0, exit_answered, task_ref(task));
}

static void abort_lost(struct sandbox *sandbox, const char *reason)
{
	_cleanup_free_ char *tail =
	    sandbox->machine ? machine_log_tail(sandbox->machine) : xstrdup("");
	struct error *error = NULL;

	(void)error_set(&error, ECONNRESET, "%.*s while the container was being created%s%s",
			AGENT_TEXT_MAX, reason, tail[0] ? "; the last lines of vmm.log: " : "",
			tail);
	sandbox_abort_create(sandbox, error);
}

void sandbox_lost(struct sandbox *sandbox, const char *reason)
{
	bool ended;

	if (sandbox->lost)
		return;
	sandbox->lost = true;
	if (!sandbox->init)
		return;
	if (sandbox->init->state == TASK_CREATING) {
		abort_lost(sandbox, reason);
		return;
	}
	if (sandbox->finishing || sandbox->shutting_down || sandbox->delete_call)
		log_debug("sandbox %s ends: %s", sandbox->init->id, reason);
	else
		log_error("sandbox %s is lost: %s", sandbox->init->id, reason);
	for (struct task *task = sandbox->execs; task; task = task->next)
		task_ended(task, STATUS_KILLED, SIGKILL);
	ended = sandbox->init->ended;
	task_ended(sandbox->init, STATUS_KILLED, SIGKILL);
	/* A container that had ended by itself gets the time to write its output
	 * out, which is on its way through the machine. */
	if (!ended || sandbox->init->state == TASK_STOPPED || sandbox->shutting_down)
		end_machine(sandbox);
	/* Open calls of a connection that the machine may keep open. */
	if (sandbox->agent)
		agent_client_break(sandbox->agent);
}
