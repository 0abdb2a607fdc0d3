/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OOM kills: the agent tells of them (it watches the guest's memory.events), we
 * tell containerd, callers that wait by supermachine.v1.Sandbox/WaitOom, and conmon's by the
 * file that it would make if the kill had been in the cgroup on the host.
 *
 * The agent counts, so nothing is lost between two questions; they are asked at
 * most once a second, so that a guest full of dying processes floods nobody.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "protocol/sandbox.pb-c.h"
#include "sandbox/sandbox.h"
#include "sandbox/task-events.h"

#define OOM_INTERVAL_MS 1000

static void answer(const struct container *container, struct ttrpc_call *call)
{
	Sandbox__WaitOomResponse response = SANDBOX__WAIT_OOM_RESPONSE__INIT;

	response.count = container->oom_kills;
	ttrpc_call_reply(call, &response.base);
}

static void make_file(const struct container *container)
{
	_cleanup_close_ int fd = -1;

	if (!container->oom_file)
		return;
	fd = open(container->oom_file,
		  O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
	if (fd < 0)
		log_warning("cannot make %s: %s", container->oom_file, strerror(errno));
}

static void ask_again(void *data)
{
	struct container *container = data;

	container->oom_timer = NULL;
	container_watch_oom(container);
}

static void answered(void *data, const ProtobufCMessage *message, const struct error *error)
{
	const Agent__OomResponse *response = (const Agent__OomResponse *)message;
	struct task *init = data;
	struct container *container = init->container;

	/* An error is the end of the container, or of the guest. */
	if (!error && container && !container->leaving && init->state < TASK_STOPPED) {
		if (response->count > container->oom_kills) {
			container->oom_kills = response->count;
			log_info("the guest's kernel killed a process of %s: out of memory",
				 init->id);
			make_file(container);
			task_events_oom(init);
			for (size_t i = 0; i < container->n_oom_waiters; i++)
				answer(container, container->oom_waiters[i]);
			container->n_oom_waiters = 0;
		}
		container->oom_timer = loop_add_timer(init->sandbox->loop, OOM_INTERVAL_MS, "oom",
						      ask_again, container);
	}
	task_unref(init);
}

void container_watch_oom(struct container *container)
{
	struct sandbox *sandbox = container->sandbox;
	Agent__OomRequest request = AGENT__OOM_REQUEST__INIT;

	if (!sandbox_is_up(sandbox))
		return;
	request.id = container->guest_id;
	request.seen = container->oom_kills;
	agent_client_call(sandbox->agent, "WaitOom", &request.base,
			  &agent__oom_response__descriptor, 0, answered, task_ref(container->init));
}

void container_unwatch_oom(struct container *container)
{
	source_clear(&container->oom_timer);
	for (size_t i = 0; i < container->n_oom_waiters; i++)
		ttrpc_call_fail(container->oom_waiters[i], TTRPC_NOT_FOUND,
				"container not running");
	free(container->oom_waiters);
	container->oom_waiters = NULL;
	container->n_oom_waiters = 0;
}

void container_wait_oom(struct container *container, struct ttrpc_call *call, uint64_t seen)
{
	if (container->oom_kills > seen) {
		answer(container, call);
		return;
	}
	if (container->leaving || container->init->state >= TASK_STOPPED) {
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "container not running");
		return;
	}
	call_keep(&container->oom_waiters, &container->n_oom_waiters, call);
}
