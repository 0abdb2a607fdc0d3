/* SPDX-License-Identifier: Apache-2.0 */
/* The streams of a restored container, and its execs: see restore.h. */
#include "base/log.h"
#include "sandbox/restore.h"
#include "sandbox/sandbox.h"

/* The task is there: its streams go with it, and call nobody then. */
static void exec_connected(void *data, const struct error *error)
{
	struct task *task = data;

	if (error)
		log_warning("process %s: %s", task->exec_id, error->message);
	else
		stdio_start(task->stdio);
}

static int take_up_exec(struct container *container, const struct checkpoint_process *process,
			struct error **ret_error)
{
	const struct stdio_names names = { .names = { "", "", "" },
					   .terminal = process->terminal,
					   .id = process->exec_id,
					   .namespace = sandbox_namespace(container->sandbox) };
	struct task *task = task_new(container, process->exec_id, &names);

	if (stdio_new(container->sandbox->loop, NULL, &names, &task->stdio, ret_error) < 0 ||
	    stdio_take_up(task->stdio, container->sandbox->vmm, &process->streams, exec_connected,
			  task, ret_error) < 0) {
		task_unref(task);
		return -1;
	}
	task->next = container->restore->execs;
	container->restore->execs = task;
	return 0;
}

int restore_streams(struct container *container, stdio_fn function, struct error **ret_error)
{
	const struct checkpoint_manifest *manifest = container->restore->manifest;

	for (size_t i = 1; i < manifest->n_processes; i++) {
		_cleanup_error_ struct error *error = NULL;

		if (take_up_exec(container, &manifest->processes[i], &error) < 0)
			log_warning("process %s: %s", manifest->processes[i].exec_id,
				    error->message);
	}
	return stdio_take_up(container->init->stdio, container->sandbox->vmm,
			     &manifest->processes[0].streams, function, container, ret_error);
}

void restore_execs(struct container *container)
{
	while (container->restore->execs) {
		struct task *task = container->restore->execs;

		container->restore->execs = task->next;
		task->next = container->execs;
		container->execs = task;
		task->with_agent = true;
		task_set_state(task, TASK_STARTING);
		task_set_state(task, TASK_RUNNING);
		task_watch_exit(task);
	}
}
