/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox as a whole: see sandbox.h for how its parts play together. */
#include "sandbox/sandbox.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "sandbox/growth.h"
#include "sandbox/kept.h"
#include "sandbox/network.h"
#include "sandbox/vmm-cgroup.h"

/* ---- what becomes of the machine ---- */

static void machine_ready(struct sandbox *sandbox)
{
	for (struct container *container = sandbox->containers; container;
	     container = container->next)
		container_on_machine_ready(container);
	if (sandbox->kept)
		kept_on_ready(sandbox);
}

/* cause, or what reason and the machine's log tell. */
static void abort_lost(struct container *container, const char *reason, const struct error *cause)
{
	struct vmm *vmm = container->sandbox->vmm;
	_cleanup_free_ char *tail = vmm ? vmm_log_tail(vmm) : xstrdup("");
	struct error *error = NULL;

	if (cause)
		(void)error_set(&error, cause->code, "%s", cause->message);
	else
		(void)error_set(&error, ECONNRESET,
				"%.*s while the container was being created%s%s", AGENT_TEXT_MAX,
				reason, tail[0] ? "; the last lines of vmm.log: " : "", tail);
	container_abort_create(container, error);
}

static bool is_told_to_end(const struct sandbox *sandbox)
{
	return sandbox->shutting_down || (sandbox->kept && sandbox->kept->stopping);
}

static bool is_expected(const struct sandbox *sandbox)
{
	/* A machine that nobody needs has been told to end. */
	bool expected = is_told_to_end(sandbox);
	bool wanted = sandbox->kept && !expected;

	for (const struct container *container = sandbox->containers; container;
	     container = container->next) {
		wanted = wanted || !(container->leaving || container->released ||
				     container_is_stopped(container));
		expected =
		    expected || container->delete_call || container->init->state == TASK_CREATING;
	}
	return expected || !wanted;
}

static void container_lost(struct container *container, const char *reason,
			   const struct error *cause)
{
	if (container->init->state == TASK_CREATING) {
		abort_lost(container, reason, cause);
		return;
	}
	container->drains = container->init->ended;
	for (struct task *task = container->execs; task; task = task->next)
		task_on_end(task, STATUS_KILLED, SIGKILL);
	task_on_end(container->init, STATUS_KILLED, SIGKILL);
}

/* What a container wrote that has ended by itself may be on its way through a machine whose
 * guest is lost: it gets the time, unless all is to end. */
static void end_lost_machine(struct sandbox *sandbox)
{
	for (const struct container *container = sandbox->containers;
	     container && !is_told_to_end(sandbox); container = container->next)
		if (container->drains && !container->leaving &&
		    container->init->state < TASK_STOPPED)
			return;
	sandbox_end_machine(sandbox);
}

static void machine_lost(struct sandbox *sandbox, const char *reason, const struct error *cause)
{
	if (is_expected(sandbox))
		log_debug("sandbox %s ends: %s", sandbox->options.id, reason);
	else
		log_error("sandbox %s is lost: %s", sandbox->options.id, reason);
	if (sandbox->kept)
		kept_on_lost(sandbox, reason, cause);
	for (struct container *container = sandbox->containers; container;
	     container = container->next)
		container_lost(container, reason, cause);
	end_lost_machine(sandbox);
}

/* They reach the guest through the machine. */
static void machine_ended(struct sandbox *sandbox)
{
	for (struct container *container = sandbox->containers; container;
	     container = container->next) {
		published_free(container->published);
		container->published = NULL;
	}
}

/* ---- what waits until something is gone ---- */

static void tell_gone(struct sandbox *sandbox)
{
	Task__Empty response = TASK__EMPTY__INIT;

	if (sandbox->told_gone)
		return;
	sandbox->told_gone = true;
	if (sandbox->shutdown_call)
		ttrpc_call_reply(TAKE_PTR(sandbox->shutdown_call), &response.base);
	if (sandbox->options.observer.gone)
		sandbox->options.observer.gone(sandbox->options.observer.data);
}

/* Goes on with a container's end if it waits for no more; true if it has gone. */
static bool go_on(struct container *container)
{
	struct sandbox *sandbox = container->sandbox;
	bool gone = sandbox_has_no_machine(sandbox);

	/* The machine stays as long as another container needs it. */
	if (!gone && !(container->released && sandbox_is_needed(sandbox, container)))
		return false;
	if (gone && container->leaving && container->init->state == TASK_DRAINING)
		task_stop(container->init);
	if (container->create_error)
		container_finish_abort(container);
	else if (container->delete_call && container->init->state == TASK_STOPPED)
		container_finish_delete(container);
	else
		return false;
	for (const struct container *left = sandbox->containers; left; left = left->next)
		if (left == container)
			return false;
	return true;
}

static void idle(void *data)
{
	struct sandbox *sandbox = data;

	sandbox->idle_timer = NULL;
	log_warning("no container was created within %llu s: ending",
		    (unsigned long long)sandbox->options.idle_timeout_ms / 1000);
	sandbox_shutdown(sandbox, NULL, false);
}

static void watch_idle(struct sandbox *sandbox)
{
	if (sandbox->options.idle_timeout_ms && !sandbox->idle_timer && !sandbox->containers &&
	    !sandbox->kept && !sandbox->shutting_down)
		sandbox->idle_timer = loop_add_timer(
		    sandbox->loop, sandbox->options.idle_timeout_ms, "idle", idle, sandbox);
}

static void settle(struct sandbox *sandbox)
{
	struct container *container = sandbox->containers;

	/* One that goes takes others along on its way: start anew. */
	while (container)
		container = go_on(container) ? sandbox->containers : container->next;
	watch_idle(sandbox);
	if (sandbox->state == SANDBOX_LOST)
		end_lost_machine(sandbox);
	if (!sandbox_has_no_machine(sandbox))
		return;
	if (sandbox->kept)
		kept_on_gone(sandbox);
	for (container = sandbox->containers; container; container = container->next)
		if (container->init->state != TASK_STOPPED)
			return;
	if (sandbox->shutting_down)
		tell_gone(sandbox);
}

/* ---- the whole ---- */

static const struct sandbox_events events = {
	.ready = machine_ready, .lost = machine_lost, .ended = machine_ended, .settle = settle
};

struct sandbox *sandbox_new(struct loop *loop, const struct sandbox_options *options)
{
	struct sandbox *sandbox = xcalloc(1, sizeof(*sandbox));

	sandbox->loop = loop;
	sandbox->options = *options;
	sandbox->events = &events;
	sandbox->lodge = lodge_new(FORWARDS_JOINED_MAX, FORWARDS_HANDSHAKES_MAX);
	watch_idle(sandbox);
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
	growth_free(sandbox);
	kept_free(sandbox->kept);
	source_remove(sandbox->idle_timer);
	source_remove(sandbox->settle_timer);
	source_remove(sandbox->boot_timer);
	agent_client_free(sandbox->agent);
	sandbox_network_free(sandbox->network);
	vmm_free(sandbox->vmm);
	vmm_cgroup_remove(sandbox->options.directory);
	machine_plan_free(sandbox->plan);
	lodge_free(sandbox->lodge);
	free(sandbox->main_id);
	free(sandbox);
}

void sandbox_shutdown(struct sandbox *sandbox, struct ttrpc_call *call, bool now)
{
	Task__Empty response = TASK__EMPTY__INIT;

	if (((sandbox->containers || sandbox->kept) && !now) || sandbox->shutting_down) {
		if (call)
			ttrpc_call_reply(call, &response.base);
		return;
	}
	sandbox->shutting_down = true;
	sandbox->shutdown_call = call;
	sandbox_lose(sandbox, "the task server is shutting down");
	sandbox_settle(sandbox);
}
