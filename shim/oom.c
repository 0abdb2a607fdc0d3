/*
 * OOM kills: the agent tells of them (it watches the guest's memory.events), we
 * tell containerd, and whoever waits by supermachine.v1.Sandbox/WaitOom.
 *
 * The agent counts, so nothing is lost between two questions; they are asked at
 * most once a second, so that a guest full of dying processes floods nobody.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "shim/sandbox.h"
#include "shim/task-events.h"
#include "ttrpc/sandbox.pb-c.h"

#define OOM_INTERVAL_MS 1000

static void answer(const struct sandbox *sandbox, struct ttrpc_call *call)
{
	Sandbox__WaitOomResponse response = SANDBOX__WAIT_OOM_RESPONSE__INIT;

	response.count = sandbox->oom_kills;
	ttrpc_call_reply(call, &response.base);
}

static void ask_again(void *data)
{
	struct sandbox *sandbox = data;

	sandbox->oom_timer = NULL;
	sandbox_watch_oom(sandbox);
}

static void answered(void *data, const ProtobufCMessage *message, const struct error *error)
{
	const Agent__OomResponse *response = (const Agent__OomResponse *)message;
	struct task *init = data;
	struct sandbox *sandbox = init->sandbox;

	/* An error is the end of the container, or of the guest. */
	if (!error && sandbox->init == init && init->state < TASK_STOPPED) {
		if (response->count > sandbox->oom_kills) {
			sandbox->oom_kills = response->count;
			log_info("the guest's kernel killed a process of %s: out of memory",
				 init->id);
			task_events_oom(init);
			for (size_t i = 0; i < sandbox->n_oom_waiters; i++)
				answer(sandbox, sandbox->oom_waiters[i]);
			sandbox->n_oom_waiters = 0;
		}
		sandbox->oom_timer =
		    loop_add_timer(sandbox->loop, OOM_INTERVAL_MS, "oom", ask_again, sandbox);
	}
	task_unref(init);
}

void sandbox_watch_oom(struct sandbox *sandbox)
{
	Agent__OomRequest request = AGENT__OOM_REQUEST__INIT;

	if (!sandbox->agent_ready || sandbox->lost)
		return;
	request.id = sandbox->init->id;
	request.seen = sandbox->oom_kills;
	agent_client_call(sandbox->agent, "WaitOom", &request.base,
			  &agent__oom_response__descriptor, 0, answered, task_ref(sandbox->init));
}

void sandbox_unwatch_oom(struct sandbox *sandbox)
{
	source_clear(&sandbox->oom_timer);
	for (size_t i = 0; i < sandbox->n_oom_waiters; i++)
		ttrpc_call_fail(sandbox->oom_waiters[i], TTRPC_NOT_FOUND, "container not running");
	free(sandbox->oom_waiters);
	sandbox->oom_waiters = NULL;
	sandbox->n_oom_waiters = 0;
}

void sandbox_wait_oom(struct sandbox *sandbox, struct ttrpc_call *call, uint64_t seen)
{
	if (sandbox->oom_kills > seen) {
		answer(sandbox, call);
		return;
	}
	if (sandbox->init->state >= TASK_STOPPED) {
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "container not running");
		return;
	}
	sandbox->oom_waiters = xreallocarray(sandbox->oom_waiters, sandbox->n_oom_waiters + 1,
					     sizeof(*sandbox->oom_waiters));
	sandbox->oom_waiters[sandbox->n_oom_waiters++] = call;
}
