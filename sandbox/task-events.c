/* SPDX-License-Identifier: Apache-2.0 */
/* Events of tasks: see task-events.h. */
#include "sandbox/task-events.h"

#include "protocol/events.pb-c.h"
#include "sandbox/sandbox.h"
#include "ttrpc/any.h"

static void publish(const struct task *task, const char *topic, const char *type,
		    const ProtobufCMessage *message)
{
	const struct sandbox_observer *observer = &task->sandbox->options.observer;

	if (observer->publish)
		observer->publish(observer->data, topic, type, message);
}

static void created(const struct task *task)
{
	const Task__CreateTaskRequest *request = task->container->create_request;
	Events__TaskCreate event = EVENTS__TASK_CREATE__INIT;
	Events__TaskIO io = EVENTS__TASK_IO__INIT;

	io.stdin = task->names[STDIO_IN];
	io.stdout = task->names[STDIO_OUT];
	io.stderr = task->names[STDIO_ERR];
	io.terminal = task->terminal;
	event.container_id = task->id;
	event.bundle = task->container->bundle;
	event.rootfs = request->rootfs;
	event.n_rootfs = request->n_rootfs;
	event.io = &io;
	event.pid = (uint32_t)task->sandbox->pid;
	publish(task, "/tasks/create", "containerd.events.TaskCreate", &event.base);
}

static void started(const struct task *task)
{
	Events__TaskStart start = EVENTS__TASK_START__INIT;
	Events__TaskExecStarted exec = EVENTS__TASK_EXEC_STARTED__INIT;

	start.container_id = exec.container_id = task->id;
	start.pid = exec.pid = (uint32_t)task->sandbox->pid;
	exec.exec_id = task->exec_id;
	if (task_is_init(task))
		publish(task, "/tasks/start", "containerd.events.TaskStart", &start.base);
	else
		publish(task, "/tasks/exec-started", "containerd.events.TaskExecStarted",
			&exec.base);
}

static void exited(const struct task *task)
{
	Events__TaskExit event = EVENTS__TASK_EXIT__INIT;
	Task__Timestamp exited_at;

	timestamp_init(&exited_at, task->exited_ns);
	event.container_id = task->id;
	event.id = task_is_init(task) ? task->id : task->exec_id;
	event.pid = (uint32_t)task->sandbox->pid;
	event.exit_status = task->exit_status;
	event.exited_at = &exited_at;
	publish(task, "/tasks/exit", "containerd.events.TaskExit", &event.base);
}

static void deleted(const struct task *task)
{
	Events__TaskDelete event = EVENTS__TASK_DELETE__INIT;
	Task__Timestamp exited_at;

	/* As runc's shim: of an exec's removal nobody is told. */
	if (!task_is_init(task))
		return;
	timestamp_init(&exited_at, task->exited_ns);
	event.container_id = task->id;
	event.pid = (uint32_t)task->sandbox->pid;
	event.exit_status = task->exit_status;
	event.exited_at = &exited_at;
	publish(task, "/tasks/delete", "containerd.events.TaskDelete", &event.base);
}

static void paused(const struct task *task)
{
	Events__TaskPaused event = EVENTS__TASK_PAUSED__INIT;

	event.container_id = task->id;
	publish(task, "/tasks/paused", "containerd.events.TaskPaused", &event.base);
}

static void resumed(const struct task *task)
{
	Events__TaskResumed event = EVENTS__TASK_RESUMED__INIT;

	event.container_id = task->id;
	publish(task, "/tasks/resumed", "containerd.events.TaskResumed", &event.base);
}

void task_events_changed(const struct task *task, enum task_state from)
{
	static const struct {
		enum task_state from, to;
		void (*tell)(const struct task *task);
	} steps[] = {
		{ TASK_CREATING, TASK_CREATED, created }, { TASK_STARTING, TASK_RUNNING, started },
		{ TASK_CREATED, TASK_HELD, paused },	  { TASK_HELD, TASK_CREATED, resumed },
		{ TASK_RUNNING, TASK_PAUSED, paused },	  { TASK_PAUSED, TASK_RUNNING, resumed },
		{ TASK_DRAINING, TASK_STOPPED, exited },  { TASK_STOPPED, TASK_DELETING, deleted },
	};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (steps[i].from == from && steps[i].to == task->state)
			steps[i].tell(task);
}

void task_events_exec_added(const struct task *task)
{
	Events__TaskExecAdded event = EVENTS__TASK_EXEC_ADDED__INIT;

	event.container_id = task->id;
	event.exec_id = task->exec_id;
	publish(task, "/tasks/exec-added", "containerd.events.TaskExecAdded", &event.base);
}

void task_events_oom(const struct task *task)
{
	Events__TaskOOM event = EVENTS__TASK_OOM__INIT;

	event.container_id = task->id;
	publish(task, "/tasks/oom", "containerd.events.TaskOOM", &event.base);
}
