/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service table.  A handler finds the task its request names and hands the
 * call to the part of the sandbox that knows what to do (create.c, start.c,
 * control.c, delete.c); what can be answered on the spot is answered here.
 */
#include "shim/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "protocol/sandbox.pb-c.h"
#include "sandbox/checkpoint.h"
#include "shim/sandbox-service.h"
#include "ttrpc/any.h"

#define N_SERVICES 4
/* How long the last events may take to reach containerd. */
#define EVENTS_DRAIN_MS 10000

struct server {
	struct loop *loop;
	struct events *events;
	bool all_events;
	struct ttrpc_server *ttrpc;
	struct sandbox *sandbox;
	struct ttrpc_service services[N_SERVICES];
};

/* The container, or NULL after failing the call. */
static struct container *find_container(const struct sandbox *sandbox, struct ttrpc_call *call,
					const char *id)
{
	struct container *container = container_find(sandbox, id);

	if (!container)
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "container does not exist: %s", id);
	return container;
}

/* The same for a task. */
static struct task *find(const struct sandbox *sandbox, struct ttrpc_call *call, const char *id,
			 const char *exec_id)
{
	struct container *container = find_container(sandbox, call, id);
	struct task *task;

	if (!container)
		return NULL;
	task = container_find_task(container, exec_id);
	if (!task)
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "process does not exist: %s", exec_id);
	return task;
}

static void reply_empty(struct ttrpc_call *call)
{
	Task__Empty response = TASK__EMPTY__INIT;

	ttrpc_call_reply(call, &response.base);
}

/* ---- containerd.task.v2.Task ---- */

static void on_state(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__StateRequest *request = (const Task__StateRequest *)message;
	struct sandbox *sandbox = data;
	struct task *task = find(sandbox, call, request->id, request->exec_id);
	Task__StateResponse response = TASK__STATE_RESPONSE__INIT;
	Task__Timestamp exited_at;

	if (!task)
		return;
	response.id = task->id;
	response.exec_id = task->exec_id;
	response.bundle = task->container->bundle;
	response.pid = (uint32_t)sandbox->pid;
	response.status = task_status(task);
	response.stdin = task->names[STDIO_IN];
	response.stdout = task->names[STDIO_OUT];
	response.stderr = task->names[STDIO_ERR];
	response.terminal = task->terminal;
	if (task->ended) {
		timestamp_init(&exited_at, task->exited_ns);
		response.exit_status = task->exit_status;
		response.exited_at = &exited_at;
	}
	ttrpc_call_reply(call, &response.base);
}

static void on_create(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	container_create(data, call, (const Task__CreateTaskRequest *)message);
}

static void on_start(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__StartRequest *request = (const Task__StartRequest *)message;
	struct task *task = find(data, call, request->id, request->exec_id);

	if (task)
		task_start(task, call);
}

static void on_delete(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__DeleteRequest *request = (const Task__DeleteRequest *)message;
	struct task *task = find(data, call, request->id, request->exec_id);

	if (task)
		task_delete(task, call);
}

static Task__ProcessInfo *process_info(const struct task *task)
{
	Task__ProcessDetails details = TASK__PROCESS_DETAILS__INIT;
	Task__ProcessInfo *info = xmalloc(sizeof(*info));

	task__process_info__init(info);
	info->pid = (uint32_t)task->sandbox->pid;
	if (task_is_init(task))
		return info;
	details.exec_id = task->exec_id;
	info->info = xmalloc(sizeof(*info->info));
	any_pack(info->info, "containerd.runc.v1.ProcessDetails", &details.base);
	return info;
}

static void free_process_info(Task__ProcessInfo *info)
{
	if (info->info)
		any_done(info->info);
	free(info->info);
	free(info);
}

/* Init and the execs that run, each with the one process that they have on this
 * host.  Guest pids would mislead a caller that takes them for the host's (Processes has
 * them). */
static void on_pids(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__PidsRequest *request = (const Task__PidsRequest *)message;
	const struct container *container = find_container(data, call, request->id);
	Task__PidsResponse response = TASK__PIDS_RESPONSE__INIT;
	size_t n = 1;

	if (!container)
		return;
	for (const struct task *task = container->execs; task; task = task->next)
		n++;
	response.processes = xcalloc(n, sizeof(*response.processes));
	if (!container_is_stopped(container))
		response.processes[response.n_processes++] = process_info(container->init);
	for (const struct task *task = container->execs; task; task = task->next)
		if (task_is_alive(task))
			response.processes[response.n_processes++] = process_info(task);
	ttrpc_call_reply(call, &response.base);
	for (size_t i = 0; i < response.n_processes; i++)
		free_process_info(response.processes[i]);
	free(response.processes);
}

static void on_pause(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	struct container *container =
	    find_container(data, call, ((const Task__PauseRequest *)message)->id);

	if (container)
		container_pause(container, call);
}

static void on_resume(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	struct container *container =
	    find_container(data, call, ((const Task__ResumeRequest *)message)->id);

	if (container)
		container_resume(container, call);
}

static void on_checkpoint(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__CheckpointTaskRequest *request = (const Task__CheckpointTaskRequest *)message;
	struct container *container = find_container(data, call, request->id);

	if (container)
		container_checkpoint(container, call, request);
}

static void on_kill(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__KillRequest *request = (const Task__KillRequest *)message;
	struct task *task = find(data, call, request->id, request->exec_id);

	if (task)
		task_kill(task, call, request);
}

static void on_exec(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__ExecProcessRequest *request = (const Task__ExecProcessRequest *)message;
	struct container *container = find_container(data, call, request->id);

	if (container)
		container_exec(container, call, request);
}

static void on_resize_pty(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__ResizePtyRequest *request = (const Task__ResizePtyRequest *)message;
	struct task *task = find(data, call, request->id, request->exec_id);

	if (task)
		task_resize(task, call, request->width, request->height);
}

static void on_close_io(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__CloseIORequest *request = (const Task__CloseIORequest *)message;
	struct task *task = find(data, call, request->id, request->exec_id);

	if (!task)
		return;
	if (request->stdin && task->stdio)
		stdio_close_stdin(task->stdio);
	reply_empty(call);
}

static void on_update(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__UpdateTaskRequest *request = (const Task__UpdateTaskRequest *)message;
	struct container *container = find_container(data, call, request->id);

	if (container)
		container_update(container, call, request->resources);
}

static void on_wait(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__WaitRequest *request = (const Task__WaitRequest *)message;
	struct task *task = find(data, call, request->id, request->exec_id);

	if (task)
		task_wait(task, call);
}

static void on_stats(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	struct container *container =
	    find_container(data, call, ((const Task__StatsRequest *)message)->id);

	if (container)
		container_stats(container, call);
}

static void on_connect(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	struct sandbox *sandbox = data;
	Task__ConnectResponse response = TASK__CONNECT_RESPONSE__INIT;

	if (!find_container(sandbox, call, ((const Task__ConnectRequest *)message)->id))
		return;
	response.shim_pid = (uint32_t)getpid();
	response.task_pid = (uint32_t)sandbox->pid;
	response.version = (char *)PACKAGE_VERSION;
	ttrpc_call_reply(call, &response.base);
}

static void on_shutdown(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	sandbox_shutdown(data, call, ((const Task__ShutdownRequest *)message)->now);
}

static const struct ttrpc_method task_methods[] = {
	{ "State", &task__state_request__descriptor, on_state },
	{ "Create", &task__create_task_request__descriptor, on_create },
	{ "Start", &task__start_request__descriptor, on_start },
	{ "Delete", &task__delete_request__descriptor, on_delete },
	{ "Pids", &task__pids_request__descriptor, on_pids },
	{ "Pause", &task__pause_request__descriptor, on_pause },
	{ "Resume", &task__resume_request__descriptor, on_resume },
	{ "Checkpoint", &task__checkpoint_task_request__descriptor, on_checkpoint },
	{ "Kill", &task__kill_request__descriptor, on_kill },
	{ "Exec", &task__exec_process_request__descriptor, on_exec },
	{ "ResizePty", &task__resize_pty_request__descriptor, on_resize_pty },
	{ "CloseIO", &task__close_iorequest__descriptor, on_close_io },
	{ "Update", &task__update_task_request__descriptor, on_update },
	{ "Wait", &task__wait_request__descriptor, on_wait },
	{ "Stats", &task__stats_request__descriptor, on_stats },
	{ "Connect", &task__connect_request__descriptor, on_connect },
	{ "Shutdown", &task__shutdown_request__descriptor, on_shutdown },
};

/* ---- supermachine.v1.Sandbox ---- */

static void on_processes(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	struct container *container =
	    find_container(data, call, ((const Sandbox__ProcessesRequest *)message)->id);

	if (container)
		container_processes(container, call);
}

static void on_wait_oom(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Sandbox__WaitOomRequest *request = (const Sandbox__WaitOomRequest *)message;
	struct container *container = find_container(data, call, request->id);

	if (container)
		container_wait_oom(container, call, request->seen);
}

static const struct ttrpc_method sandbox_methods[] = {
	{ "Processes", &sandbox__processes_request__descriptor, on_processes },
	{ "WaitOom", &sandbox__wait_oom_request__descriptor, on_wait_oom },
};

/* ---- the server ---- */

static void publish(void *data, const char *topic, const char *type,
		    const ProtobufCMessage *message)
{
	const struct server *server = data;

	/* In CLI mode, what else there is to tell the caller's shim does. */
	if (server->all_events || strcmp(topic, "/tasks/oom") == 0)
		events_publish(server->events, topic, type, message);
}

static void told(void *data)
{
	struct server *server = data;

	loop_quit(server->loop);
}

static void gone(void *data)
{
	struct server *server = data;

	if (events_waiting(server->events) > 0)
		events_drain(server->events, EVENTS_DRAIN_MS, told, server);
	else
		told(server);
}

int server_new(struct loop *loop, int listen_fd, const struct sandbox_options *options,
	       struct events *events, struct server **ret_server, struct error **ret_error)
{
	_cleanup_(server_freep) struct server *server = xcalloc(1, sizeof(*server));
	struct sandbox_options observed = *options;

	/* The VMM is an orphan, for the caller to reap; but containerd does not. */
	if (options->namespace && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return error_set_errno(ret_error, errno, "cannot become a subreaper");
	server->loop = loop;
	server->events = events;
	server->all_events = options->namespace;
	observed.observer =
	    (struct sandbox_observer){ .publish = publish, .gone = gone, .data = server };
	server->sandbox = sandbox_new(loop, &observed);
	server->services[0] = (struct ttrpc_service){ .name = "containerd.task.v2.Task",
						      .methods = task_methods,
						      .n_methods = ARRAY_SIZE(task_methods),
						      .data = server->sandbox };
	server->services[1] = server->services[0];
	server->services[1].name = "containerd.task.v3.Task";
	server->services[2] = (struct ttrpc_service){ .name = "supermachine.v1.Sandbox",
						      .methods = sandbox_methods,
						      .n_methods = ARRAY_SIZE(sandbox_methods),
						      .data = server->sandbox };
	server->services[3] = sandbox_service(server->sandbox);
	server->ttrpc = ttrpc_server_new(loop, server->services, N_SERVICES);
	if (ttrpc_server_listen(server->ttrpc, listen_fd, ret_error) < 0)
		return -1;
	*ret_server = TAKE_PTR(server);
	return 0;
}

void server_terminate(struct server *server)
{
	sandbox_shutdown(server->sandbox, NULL, true);
}

void server_free(struct server *server)
{
	if (!server)
		return;
	sandbox_free(server->sandbox);
	ttrpc_server_free(server->ttrpc);
	free(server);
}
