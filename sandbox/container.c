/* SPDX-License-Identifier: Apache-2.0 */
/* Containers of a sandbox: see container.h. */
#include "sandbox/container.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "host/mounts.h"
#include "sandbox/kept.h"
#include "sandbox/checkpoint.h"
#include "sandbox/restore.h"
#include "sandbox/sandbox.h"

struct container *container_new(struct sandbox *sandbox, const char *id)
{
	struct container *container = xcalloc(1, sizeof(*container));
	struct container **link = &sandbox->containers;

	container->sandbox = sandbox;
	container->id = xstrdup(id);
	container->guest_id = xstrdup(id);
	container->created_ns = clock_realtime_ns();
	while (*link)
		link = &(*link)->next;
	*link = container;
	source_clear(&sandbox->idle_timer);
	return container;
}

static void fail_open_call(struct ttrpc_call **call)
{
	if (*call)
		ttrpc_call_fail(*call, TTRPC_UNAVAILABLE, "the task server is shutting down");
	*call = NULL;
}

/* What create.c mounted. */
static void remove_root(struct container *container)
{
	struct vmm *vmm = container->sandbox->vmm;
	_cleanup_free_ char *target = xasprintf("%s/rootfs", container->bundle);
	_cleanup_error_ struct error *error = NULL;

	if (container->staged && vmm && sandbox_is_up(container->sandbox) &&
	    vmm_stage(vmm, VMM_STAGE_SHRINK, &container->plan->files.stage, &error) < 0) {
		log_warning("%s", error->message);
		error_free(TAKE_PTR(error));
	}
	if (container->mounted && mounts_remove(target, &error) < 0)
		log_warning("%s", error->message);
}

static void leave_list(const struct container *container)
{
	struct container **link = &container->sandbox->containers;

	while (*link && *link != container)
		link = &(*link)->next;
	if (*link)
		*link = container->next;
	/* It may be idle now. */
	sandbox_settle(container->sandbox);
}

void container_free(struct container *container)
{
	if (!container)
		return;
	leave_list(container);
	fail_open_call(&container->create_call);
	fail_open_call(&container->delete_call);
	hooks_free(container->hooks);
	source_remove(container->exec_timer);
	source_remove(container->delete_timer);
	container_unwatch_oom(container);
	terminal_free(container->terminal);
	while (container->execs) {
		struct task *task = container->execs;

		container->execs = task->next;
		task->container = NULL;
		task_unref(task);
	}
	if (container->init)
		container->init->container = NULL;
	task_unref(container->init);
	published_free(container->published);
	forwards_free(container->forwards);
	remove_root(container);
	container_plan_free(container->plan);
	machine_plan_free(container->machine_plan);
	spec_free(container->spec);
	free(container->config);
	free(container->bundle);
	error_free(container->create_error);
	checkpoint_free(container->checkpoint);
	restore_free(container->restore);
	free(container->stage);
	free(container->kernel);
	free(container->network);
	free(container->oom_file);
	strv_free(container->publish);
	free(container->guest_id);
	free(container->id);
	free(container);
}

struct container *container_find(const struct sandbox *sandbox, const char *id)
{
	for (struct container *container = sandbox->containers; container;
	     container = container->next)
		if (strcmp(container->id, id) == 0)
			return container;
	return NULL;
}

struct task *container_find_task(const struct container *container, const char *exec_id)
{
	if (exec_id[0] == '\0')
		return container->init;
	for (struct task *task = container->execs; task; task = task->next)
		if (strcmp(task->exec_id, exec_id) == 0)
			return task;
	return NULL;
}

bool container_is_stopped(const struct container *container)
{
	return container->init->state >= TASK_STOPPED;
}

bool sandbox_is_needed(const struct sandbox *sandbox, const struct container *aside)
{
	for (const struct container *container = sandbox->containers; container;
	     container = container->next)
		if (container != aside && !container->released && !container_is_stopped(container))
			return true;
	return sandbox->kept && !sandbox->kept->stopping;
}

void sandbox_end_unneeded(struct sandbox *sandbox)
{
	if (sandbox_is_needed(sandbox, NULL))
		return;
	for (const struct container *container = sandbox->containers; container;
	     container = container->next)
		if (!container->released)
			return;
	if (sandbox->state == SANDBOX_READY)
		sandbox_set_state(sandbox, SANDBOX_FINISHING);
	sandbox_end_machine(sandbox);
}

void container_on_released(struct container *container)
{
	container->released = true;
	sandbox_settle(container->sandbox);
	sandbox_end_unneeded(container->sandbox);
}

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

void exec_finish_delete(struct task *task)
{
	Agent__DeleteRequest request = AGENT__DELETE_REQUEST__INIT;
	struct ttrpc_call *call = TAKE_PTR(task->delete_call);
	struct sandbox *sandbox = task->sandbox;

	if (!call)
		return;
	task_set_state(task, TASK_DELETING);
	/* Nothing hangs on the agent's answer: what it forgets is its own. */
	if (task->with_agent && sandbox_is_up(sandbox)) {
		request.id = task->container->guest_id;
		request.exec_id = task->exec_id;
		agent_client_call(sandbox->agent, "Delete", &request.base,
				  &agent__empty__descriptor, AGENT_TIMEOUT_MS, NULL, NULL);
	}
	/* One that never ran still has its stdio, with a logger perhaps. */
	stdio_free(task->stdio);
	task->stdio = NULL;
	task_answer_delete(task, call);
	remove_exec(task);
}

static char *absolute_root(const struct container *container)
{
	const char *root = container->spec->root_path;

	return root[0] == '/' ? xstrdup(root) : xasprintf("%s/%s", container->bundle, root);
}

void container_run_hooks(struct container *container, const char *kind,
			 const struct spec_hook_list *list, enum container_status status,
			 hooks_fn function)
{
	pid_t pid = container->sandbox->pid;
	_cleanup_free_ char *rootfs = absolute_root(container);
	struct state state = { .id = container->id,
			       .bundle = container->bundle,
			       .rootfs = rootfs,
			       .pid = pid,
			       .created_ns = container->created_ns,
			       .owner = geteuid(),
			       .config = container->config };
	_cleanup_free_ char *json = state_json(&state, status, false);
	struct hooks_setup setup = { .kind = kind,
				     .list = list,
				     .state = json,
				     .directory = container->bundle,
				     .netns_fd = -1,
				     .keep_going = status == STATUS_STOPPED };

	/* runtime-spec config.md "CreateContainer Hooks": in the container's
	 * namespaces; the network is the one that exists on the host. */
	if (list == &container->spec->hooks.create_container) {
		_cleanup_free_ char *path = xasprintf("/proc/%d/ns/net", pid);

		setup.netns_fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	container->hooks = hooks_run(container->sandbox->loop, &setup, function, container);
}
