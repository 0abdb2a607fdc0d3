/* The sandbox: see sandbox.h for how its parts play together. */
#include "shim/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "base/paths.h"

struct sandbox *sandbox_new(struct loop *loop, const struct sandbox_options *options)
{
	struct sandbox *sandbox = xcalloc(1, sizeof(*sandbox));

	sandbox->loop = loop;
	sandbox->options = *options;
	return sandbox;
}

static void fail_open_call(struct ttrpc_call **call)
{
	if (*call)
		ttrpc_call_fail(*call, TTRPC_UNAVAILABLE, "the task server is shutting down");
	*call = NULL;
}

void sandbox_free(struct sandbox *sandbox)
{
	if (!sandbox)
		return;
	fail_open_call(&sandbox->create_call);
	fail_open_call(&sandbox->delete_call);
	fail_open_call(&sandbox->shutdown_call);
	sandbox_container_free(sandbox);
	source_remove(sandbox->boot_timer);
	agent_client_free(sandbox->agent);
	machine_free(sandbox->machine);
	free(sandbox);
}

struct task *sandbox_find(const struct sandbox *sandbox, const char *exec_id)
{
	if (exec_id[0] == '\0')
		return sandbox->init;
	for (struct task *task = sandbox->execs; task; task = task->next)
		if (strcmp(task->exec_id, exec_id) == 0)
			return task;
	return NULL;
}

void sandbox_fail(struct ttrpc_call *call, struct error *error)
{
	ttrpc_call_fail_error(call, error);
	error_free(error);
}

static char *absolute_root(const struct sandbox *sandbox)
{
	const char *root = sandbox->spec->root_path;

	return root[0] == '/' ? xstrdup(root) : xasprintf("%s/%s", sandbox->bundle, root);
}

void sandbox_run_hooks(struct sandbox *sandbox, const char *kind, const struct spec_hook_list *list,
		       enum container_status status, hooks_fn function)
{
	_cleanup_free_ char *rootfs = absolute_root(sandbox);
	struct state state = { .id = sandbox->init->id,
			       .bundle = sandbox->bundle,
			       .rootfs = rootfs,
			       .pid = sandbox->pid,
			       .created_ns = sandbox->created_ns,
			       .owner = geteuid(),
			       .config = sandbox->config };
	_cleanup_free_ char *json = state_json(&state, status, false);
	struct hooks_setup setup = { .kind = kind,
				     .list = list,
				     .state = json,
				     .directory = sandbox->bundle,
				     .netns_fd = -1,
				     .keep_going = status == STATUS_STOPPED };

	/* runtime-spec config.md "CreateContainer Hooks": in the container's
	 * namespaces; the network is the one that exists on the host. */
	if (list == &sandbox->spec->hooks.create_container) {
		_cleanup_free_ char *path = xasprintf("/proc/%d/ns/net", sandbox->pid);

		setup.netns_fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	sandbox->hooks = hooks_run(sandbox->loop, &setup, function, sandbox);
}

static void machine_lost(void *data, const char *reason)
{
	struct sandbox *sandbox = data;

	sandbox_lost(sandbox, reason);
}

static void machine_ended(void *data)
{
	struct sandbox *sandbox = data;

	/* It reaches the guest through the machine. */
	published_free(sandbox->published);
	sandbox->published = NULL;
	machine_free(sandbox->machine);
	sandbox->machine = NULL;
	if (sandbox->agent)
		agent_client_break(sandbox->agent);
	sandbox_when_gone(sandbox);
}

int sandbox_start_machine(struct sandbox *sandbox, void (*agent)(void *data, int fd),
			  struct error **ret_error)
{
	struct machine_events events = {
		.agent = agent, .lost = machine_lost, .ended = machine_ended, .data = sandbox
	};
	struct machine_setup setup = { .directory = sandbox->options.directory,
				       .plan = sandbox->plan,
				       .program = sandbox->options.vmm };
	_cleanup_free_ char *program = NULL;

	if (!setup.program) {
		if (paths_find_program("supermachine-vmm", &program, ret_error) < 0)
			return -1;
		setup.program = program;
	}
	if (machine_start(sandbox->loop, &setup, &events, &sandbox->machine, ret_error) < 0)
		return -1;
	sandbox->pid = machine_pid(sandbox->machine);
	sandbox->lost = sandbox->finishing = sandbox->agent_ready = false;
	return 0;
}
