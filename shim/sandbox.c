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

static void idle(void *data)
{
	struct sandbox *sandbox = data;

	sandbox->idle_timer = NULL;
	log_warning("nobody has created a container for %llu s: ending",
		    (unsigned long long)sandbox->options.idle_timeout_ms / 1000);
	sandbox_shutdown(sandbox, NULL, false);
}

void sandbox_watch_idle(struct sandbox *sandbox)
{
	source_clear(&sandbox->idle_timer);
	if (sandbox->options.idle_timeout_ms && !sandbox->containers && !sandbox->shutting_down)
		sandbox->idle_timer = loop_add_timer(
		    sandbox->loop, sandbox->options.idle_timeout_ms, "idle", idle, sandbox);
}

struct sandbox *sandbox_new(struct loop *loop, const struct sandbox_options *options)
{
	struct sandbox *sandbox = xcalloc(1, sizeof(*sandbox));

	sandbox->loop = loop;
	sandbox->options = *options;
	sandbox_watch_idle(sandbox);
	return sandbox;
}

void sandbox_free(struct sandbox *sandbox)
{
	if (!sandbox)
		return;
	if (sandbox->shutdown_call)
		ttrpc_call_fail(sandbox->shutdown_call, TTRPC_UNAVAILABLE,
				"the task server is shutting down");
	while (sandbox->containers)
		container_free(sandbox->containers);
	source_remove(sandbox->idle_timer);
	agent_client_free(sandbox->agent);
	machine_free(sandbox->machine);
	free(sandbox);
}

void sandbox_fail(struct ttrpc_call *call, struct error *error)
{
	ttrpc_call_fail_error(call, error);
	error_free(error);
}

static void machine_lost(void *data, const char *reason)
{
	struct sandbox *sandbox = data;

	if (!sandbox_boots_again(sandbox))
		sandbox_lost(sandbox, reason);
}

static void machine_ended(void *data)
{
	struct sandbox *sandbox = data;

	/* They reach the guest through the machine. */
	for (struct container *container = sandbox->containers; container;
	     container = container->next) {
		published_free(container->published);
		container->published = NULL;
	}
	machine_free(sandbox->machine);
	sandbox->machine = NULL;
	if (sandbox->agent)
		agent_client_break(sandbox->agent);
	if (sandbox->booting_again)
		sandbox_boot(sandbox);
	else
		sandbox_when_gone(sandbox);
}

int sandbox_start_machine(struct sandbox *sandbox, struct plan *plan,
			  void (*agent)(void *data, int fd), struct error **ret_error)
{
	struct machine_events events = {
		.agent = agent, .lost = machine_lost, .ended = machine_ended, .data = sandbox
	};
	struct machine_setup setup = { .directory = sandbox->options.directory,
				       .plan = plan,
				       .program = sandbox->options.vmm,
				       .again = sandbox->booting_again };
	_cleanup_free_ char *program = NULL;

	if (!setup.program) {
		if (paths_find_program("supermachine-vmm", &program, ret_error) < 0)
			return -1;
		setup.program = program;
	}
	if (machine_start(sandbox->loop, &setup, &events, &sandbox->machine, ret_error) < 0)
		return -1;
	sandbox->pid = machine_pid(sandbox->machine);
	sandbox->cache_by_name = plan->files.cache_by_name;
	sandbox->lost = sandbox->finishing = sandbox->agent_ready = false;
	sandbox->booting_again = false;
	return 0;
}
