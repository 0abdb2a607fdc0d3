/* SPDX-License-Identifier: Apache-2.0 */
/* The agent as a whole: reaping, and the end of connections. See agent.h. */
#include "agent/agent.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "agent/container.h"
#include "agent/memory.h"
#include "agent/network.h"
#include "agent/processors.h"
#include "agent/published.h"
#include "agent/share.h"
#include "agent/stdio.h"
#include "base/alloc.h"
#include "base/doorman.h"

static struct process *find_pid(const struct agent *agent, pid_t pid)
{
	for (struct agent_container *c = agent->containers; c; c = c->next)
		for (struct process *p = c->init; p; p = p->next)
			if (p->pid == pid && p->state != PROCESS_STOPPED)
				return p;
	return NULL;
}

/* What a process said before it ended comes before its end.  A failed exec is
 * removed on the way, and a container at its init's end: look anew each time. */
static void read_channels(const struct agent *agent)
{
	for (struct agent_container *c = agent->containers; c; c = c->next)
		for (struct process *p = c->init; p; p = p->next)
			process_read_channel(p);
}

/* Orphans of every container are ours, too: those that are not known are just reaped. */
static void on_child(void *data, const struct signalfd_siginfo *info)
{
	struct agent *agent = data;
	int status;
	pid_t pid;

	(void)info;
	read_channels(agent);
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct process *process;

		/* It may have been born, spoken and ended since. */
		read_channels(agent);
		process = find_pid(agent, pid);
		if (process && !process_exited(process, status))
			agent_container_setup_failed(process);
	}
}

int agent_new(struct loop *loop, const struct agent_config *config, struct agent **ret_agent,
	      struct error **ret_error)
{
	_cleanup_(agent_freep) struct agent *agent = xcalloc(1, sizeof(*agent));

	agent->loop = loop;
	agent->config = *config;
	agent->stdio = stdio_table_new();
	agent->published = published_doorman_new(agent);
	agent->networks = networks_new();
	agent->processors = processors_new(agent);
	if (loop_add_signal(loop, SIGCHLD, "child", on_child, agent, &agent->child_source,
			    ret_error) < 0)
		return -1;
	*ret_agent = TAKE_PTR(agent);
	return 0;
}

void agent_free(struct agent *agent)
{
	if (!agent)
		return;
	source_clear(&agent->child_source);
	memory_give_up(agent);
	share_done(agent);
	stdio_table_free(agent->stdio);
	doorman_free(agent->published);
	networks_free(agent->networks);
	processors_free(agent->processors);
	free(agent);
}

void agent_connection_closed(struct agent *agent)
{
	agent->greeted = false;
	stdio_table_clear(agent->stdio);
	memory_give_up(agent);
	processors_forget(agent->processors);
	for (struct agent_container *c = agent->containers; c; c = c->next) {
		calls_fail(&c->oom_waiters, TTRPC_UNAVAILABLE, "the connection has ended");
		for (struct process *p = c->init; p; p = p->next)
			calls_fail(&p->waiters, TTRPC_UNAVAILABLE, "the connection has ended");
	}
}
