/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start of init and of execs, and the making of execs.
 *
 * A start is over when its call is answered; an end that the agent reports in
 * between is held back until then (exit.c).
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "sandbox/network.h"
#include "sandbox/sandbox.h"
#include "sandbox/stdio/preserved.h"
#include "sandbox/task-events.h"

/* The exit status of an exec that never came to run. */
#define STATUS_NOT_STARTED 255

static void answer_start(struct task *task)
{
	Task__StartResponse response = TASK__START_RESPONSE__INIT;
	struct ttrpc_call *call = TAKE_PTR(task->start_call);

	/* An exec is told by its id; its only pid on the host is the machine's. */
	response.pid = (uint32_t)task->sandbox->pid;
	if (call)
		ttrpc_call_reply(call, &response.base);
	task_finish_start(task);
}

/* ---- init ---- */

static void kill_container(struct container *container)
{
	struct sandbox *sandbox = container->sandbox;
	Agent__SignalRequest request = AGENT__SIGNAL_REQUEST__INIT;

	if (!sandbox_is_up(sandbox))
		return;
	request.id = container->guest_id;
	request.signal = SIGKILL;
	request.all = true;
	agent_client_call(sandbox->agent, "Signal", &request.base, &agent__empty__descriptor,
			  AGENT_TIMEOUT_MS, NULL, NULL);
}

static void poststart_done(void *data, const struct error *error)
{
	struct container *container = data;
	struct task *init = container->init;

	container->hooks = NULL;
	if (!error) {
		answer_start(init);
		return;
	}
	/* As runc does, although runtime.md "Lifecycle" would only have a warning:
	 * a container whose poststart hook failed is killed. */
	kill_container(container);
	if (init->start_call)
		ttrpc_call_fail_error(TAKE_PTR(init->start_call), error);
	task_finish_start(init);
}

/* The process still waits, or its end is on its way. */
static void fail_init_start(struct task *init, const struct error *error)
{
	agent_client_fail(TAKE_PTR(init->start_call), error);
	task_set_state(init, TASK_CREATED);
	task_finish_start(init);
}

static void init_started(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct task *init = data;
	struct container *container = init->container;

	(void)response;
	if (!container) {
		/* Deleted meanwhile: a caller that waits for its start is told with it. */
	} else if (error) {
		fail_init_start(init, error);
	} else {
		task_set_state(init, TASK_RUNNING);
		vmm_note(container->sandbox->vmm);
		if (container->spec->hooks.poststart.n_hooks > 0)
			container_run_hooks(container, "poststart",
					    &container->spec->hooks.poststart, STATUS_RUNNING,
					    poststart_done);
		else
			answer_start(init);
	}
	task_unref(init);
}

/* One that was frozen when its machine was saved. */
static void call_thaw(struct task *init)
{
	Agent__ContainerRequest request = AGENT__CONTAINER_REQUEST__INIT;

	request.id = init->container->guest_id;
	agent_client_call(init->sandbox->agent, "Resume", &request.base, &agent__empty__descriptor,
			  AGENT_TIMEOUT_MS, init_started, task_ref(init));
}

static void call_start(struct task *init)
{
	Agent__StartRequest request = AGENT__START_REQUEST__INIT;

	request.id = init->container->guest_id;
	/* startContainer hooks run in the guest, and may take as long as they like. */
	agent_client_call(init->sandbox->agent, "Start", &request.base, &agent__empty__descriptor,
			  0, init_started, task_ref(init));
}

/* The guest has its network: the program may run. */
static void network_told(void *data, const struct error *error)
{
	struct task *init = data;
	struct error *none = NULL;

	if (!error && !sandbox_is_up(init->sandbox)) {
		(void)error_set(&none, ECONNRESET, "the guest has ended");
		error = none;
	}
	if (!init->container) {
		/* As above. */
	} else if (error) {
		fail_init_start(init, error);
	} else if (init->container->restore) {
		call_thaw(init);
	} else {
		call_start(init);
	}
	error_free(none);
	task_unref(init);
}

static void start_init(struct task *init)
{
	stdio_start_input(init->stdio);
	sandbox_network_tell(init->container, network_told, task_ref(init));
}

/* ---- execs ---- */

static void exec_failed(struct task *task, const struct error *error)
{
	if (task->state != TASK_STARTING)
		return;
	task->ended = true;
	task->exit_status = STATUS_NOT_STARTED;
	task->exited_ns = clock_realtime_ns();
	agent_client_fail(TAKE_PTR(task->start_call), error);
	exec_stop(task);
}

static void exec_started(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct task *task = data;

	(void)response;
	if (!task->container) {
		/* As above. */
	} else if (error) {
		exec_failed(task, error);
	} else {
		task->with_agent = true;
		task_set_state(task, TASK_RUNNING);
		stdio_start(task->stdio);
		stdio_start_input(task->stdio);
		task_watch_exit(task);
		answer_start(task);
	}
	task_unref(task);
}

static void exec_streams_open(void *data, const struct error *error)
{
	Agent__ExecRequest request = AGENT__EXEC_REQUEST__INIT;
	struct preserved_list descriptors;
	struct task *task = data;
	struct error *none = NULL;

	if (!error && !sandbox_is_up(task->sandbox)) {
		(void)error_set(&none, ECONNRESET, "the guest has ended");
		error = none;
	}
	if (error) {
		exec_failed(task, error);
		error_free(none);
		return;
	}
	if (stdio_tty(task->stdio) >= 0)
		terminal_size(stdio_tty(task->stdio), &task->width, &task->height);
	request.id = task->container->guest_id;
	request.exec_id = task->exec_id;
	request.process = (ProtobufCBinaryData){ task->process_size, task->process };
	request.stdin_port = stdio_port(task->stdio, STDIO_IN);
	request.stdout_port = stdio_port(task->stdio, STDIO_OUT);
	request.stderr_port = stdio_port(task->stdio, STDIO_ERR);
	request.n_descriptors = preserved_list(stdio_preserved(task->stdio), &descriptors);
	request.descriptors = descriptors.pointers;
	request.width = task->width;
	request.height = task->height;
	request.terminal = task->terminal;
	agent_client_call(task->sandbox->agent, "Exec", &request.base,
			  &agent__exec_response__descriptor, AGENT_TIMEOUT_MS, exec_started,
			  task_ref(task));
}

static void start_exec(struct task *task)
{
	struct error *error = NULL;

	if (stdio_connect(task->stdio, task->sandbox->vmm, exec_streams_open, task, &error) < 0) {
		exec_failed(task, error);
		error_free(error);
	}
}

/* ---- requests ---- */

void task_start(struct task *task, struct ttrpc_call *call)
{
	struct sandbox *sandbox = task->sandbox;
	struct error *error = NULL;

	if (task_check(task, TASK_OP_START, &error) < 0 ||
	    (!task_is_init(task) && task_check(task->container->init, TASK_OP_EXEC, &error) < 0)) {
		call_fail(call, error);
		return;
	}
	if (task->ended || !sandbox_is_up(sandbox)) {
		ttrpc_call_fail(call, TTRPC_UNAVAILABLE, "the guest has ended");
		return;
	}
	task->start_call = call;
	task_set_state(task, TASK_STARTING);
	if (task_is_init(task))
		start_init(task);
	else
		start_exec(task);
}

static int make_exec(struct container *container, struct ttrpc_call *call,
		     const Task__ExecProcessRequest *request, struct error **ret_error)
{
	_cleanup_(spec_process_freep) struct spec_process *process = NULL;
	_cleanup_free_ char *whose = xasprintf("%s/%s", container->guest_id, request->exec_id);
	const struct stdio_names names = { .names = { request->stdin, request->stdout,
						      request->stderr },
					   .terminal = request->terminal,
					   .id = request->exec_id,
					   .whose = whose,
					   .namespace = sandbox_namespace(container->sandbox) };
	struct task *task;

	if (task_check(container->init, TASK_OP_EXEC, ret_error) < 0 ||
	    state_check_id(request->exec_id, ret_error) < 0)
		return -1;
	if (container_find_task(container, request->exec_id))
		return error_set(ret_error, EEXIST, "process with given ID already exists: %s",
				 request->exec_id);
	if (!request->spec)
		return error_set(ret_error, EINVAL, "the process specification is missing");
	if (spec_parse_process((const char *)request->spec->value.data, request->spec->value.len,
			       &process, ret_error) < 0)
		return -1;
	if (container->sandbox->options.namespace)
		spec_process_log_warnings(process);
	task = task_new(container, request->exec_id, &names);
	if (stdio_new(container->sandbox->loop, call, &names, &task->stdio, ret_error) < 0) {
		task_unref(task);
		return -1;
	}
	task->width = process->console_width;
	task->height = process->console_height;
	task->process_size = request->spec->value.len;
	task->process = xmemdup(request->spec->value.data, task->process_size);
	task->next = container->execs;
	container->execs = task;
	task_events_exec_added(task);
	return 0;
}

void container_exec(struct container *container, struct ttrpc_call *call,
		    const Task__ExecProcessRequest *request)
{
	Task__Empty response = TASK__EMPTY__INIT;
	struct error *error = NULL;

	if (make_exec(container, call, request, &error) < 0)
		call_fail(call, error);
	else
		ttrpc_call_reply(call, &response.base);
}
