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
#include "shim/sandbox.h"

#define STATUS_KILLED (128 + SIGKILL)
/* How long the agent may take to unmount and sync after init's end. */
#define FINISH_TIMEOUT_MS 30000

static void end_machine(struct sandbox *sandbox)
{
	if (sandbox->machine)
		machine_exit(sandbox->machine, sandbox->exit_status, sandbox->exit_signal);
}

bool sandbox_is_needed(const struct sandbox *sandbox, const struct container *aside)
{
	for (const struct container *container = sandbox->containers; container;
	     container = container->next)
		if (container != aside && !container->released && !container_is_stopped(container))
			return true;
	return false;
}

/* The last one out ends the machine, once the agent has written everything. */
void container_released(struct container *container)
{
	struct sandbox *sandbox = container->sandbox;

	container->released = true;
	if (!sandbox_is_needed(sandbox, NULL)) {
		for (container = sandbox->containers; container; container = container->next)
			if (!container->released)
				return;
		sandbox->finishing = true;
		end_machine(sandbox);
	}
	sandbox_when_gone(sandbox);
}

static void agent_deleted(void *data, const ProtobufCMessage *response, const struct error *error)
{
	(void)response;
	if (error)
		log_debug("the agent's Delete: %.*s", AGENT_TEXT_MAX, error->message);
	container_released(data);
}

void container_release(struct container *container)
{
	Agent__DeleteRequest request = AGENT__DELETE_REQUEST__INIT;
	struct sandbox *sandbox = container->sandbox;

	sandbox->finishing = !sandbox_is_needed(sandbox, container);
	if (!sandbox->agent_ready || sandbox->lost) {
		container_released(container);
		return;
	}
	request.id = container->id;
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

void sandbox_task_stopped(struct container *container)
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
	if (!task_is_init(task))
		task_stop(task);
	sandbox_task_stopped(task->container);
}

static void execs_overdue(void *data)
{
	struct container *container = data;

	container->exec_timer = NULL;
	for (struct task *task = container->execs; task; task = task->next)
		task_ended(task, STATUS_KILLED, SIGKILL);
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
	if (task_is_init(task) && task->container->main) {
		task->sandbox->exit_status = status;
		task->sandbox->exit_signal = signal;
	}
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

	if (!task->container) {
		/* Deleted before the agent told of its end. */
	} else if (error) {
		log_debug("the agent's Wait: %.*s", AGENT_TEXT_MAX, error->message);
		task_ended(task, STATUS_KILLED, SIGKILL);
		if (task_is_init(task) && !task->sandbox->finishing)
			sandbox_lost(task->sandbox,
				     "the agent does not tell how the container ended");
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

static void abort_lost(struct container *container, const char *reason)
{
	struct machine *machine = container->sandbox->machine;
	_cleanup_free_ char *tail = machine ? machine_log_tail(machine) : xstrdup("");
	struct error *error = NULL;

	(void)error_set(&error, ECONNRESET, "%.*s while the container was being created%s%s",
			AGENT_TEXT_MAX, reason, tail[0] ? "; the last lines of vmm.log: " : "",
			tail);
	sandbox_abort_create(container, error);
}

static bool is_expected(const struct sandbox *sandbox)
{
	bool expected = sandbox->finishing || sandbox->shutting_down;

	for (const struct container *container = sandbox->containers; container;
	     container = container->next)
		expected =
		    expected || container->delete_call || container->init->state == TASK_CREATING;
	return expected;
}

/* True for a container that has ended by itself, and still writes its output out. */
static bool container_lost(struct container *container, const char *reason)
{
	bool ended = container->init->ended;

	if (container->init->state == TASK_CREATING) {
		abort_lost(container, reason);
		return false;
	}
	for (struct task *task = container->execs; task; task = task->next)
		task_ended(task, STATUS_KILLED, SIGKILL);
	task_ended(container->init, STATUS_KILLED, SIGKILL);
	return ended && container->init->state < TASK_STOPPED;
}

void sandbox_lost(struct sandbox *sandbox, const char *reason)
{
	bool draining = false;

	if (sandbox->lost)
		return;
	sandbox->lost = true;
	if (!sandbox->containers)
		return;
	if (is_expected(sandbox))
		log_debug("sandbox %s ends: %s", sandbox->options.id, reason);
	else
		log_error("sandbox %s is lost: %s", sandbox->options.id, reason);
	for (struct container *container = sandbox->containers; container;
	     container = container->next)
		draining = container_lost(container, reason) || draining;
	/* What a container wrote is on its way through the machine: it gets the time. */
	if (!draining || sandbox->shutting_down)
		end_machine(sandbox);
	/* Open calls of a connection that the machine may keep open. */
	if (sandbox->agent)
		agent_client_break(sandbox->agent);
}
