/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that pass on to the agent: Kill, Pause, Resume, ResizePty, Update,
 * Stats, Processes.
 *
 * Pause is the agent's cgroup freezer, not the stopping of vCPUs: it is one
 * container's, it costs no CPU time either, and stats, update and ps of a paused
 * container still answer, as they do under runc.  What runc 1.1 does with a
 * signal for a paused container follows by itself: the kernel keeps it until
 * resume, and SIGKILL acts at once (cgroup v2).
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "protocol/sandbox.pb-c.h"
#include "sandbox/growth.h"
#include "sandbox/sandbox.h"
#include "sandbox/vcpus.h"
#include "ttrpc/any.h"
#include "ttrpc/message.h"

/* A Kill that the agent does not answer in time is one it will not obey. */
#define KILL_TIMEOUT_MS 30000

static void reply_empty(struct ttrpc_call *call)
{
	Task__Empty response = TASK__EMPTY__INIT;

	ttrpc_call_reply(call, &response.base);
}

/* The agent's Empty answers the client's call. */
static void answered_empty(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct ttrpc_call *call = data;

	(void)response;
	if (error)
		agent_client_fail(call, error);
	else
		reply_empty(call);
}

/* May the agent be asked about init's container? Fails the call if not. */
static bool may_ask(const struct container *container, enum task_operation operation,
		    struct ttrpc_call *call)
{
	struct error *error = NULL;

	if (task_check(container->init, operation, &error) < 0) {
		call_fail(call, error);
		return false;
	}
	if (!sandbox_is_up(container->sandbox)) {
		ttrpc_call_fail(call, TTRPC_UNAVAILABLE, "the guest has ended");
		return false;
	}
	return true;
}

/* ---- Kill ---- */

struct kill {
	struct task *task;
	struct ttrpc_call *call;
	uint32_t signal;
};

/*
 * A SIGKILL is answered when its effect is known: the kernel of a host kills at once,
 * so that under runc `kill ID KILL; delete ID` finds a stopped container, while here the
 * news has yet to come from the guest.  Other signals are answered when they are
 * delivered: what they do is the process's affair.
 */
static void killed(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct kill *request = data;
	struct task *task = request->task;
	bool silent = error && error->code == ETIMEDOUT;

	(void)response;
	if (!error)
		task->signalled_ns = clock_monotonic_ns();
	if (silent && request->signal == SIGKILL && task_is_init(task)) {
		/* It works whatever the guest does. */
		reply_empty(request->call);
		sandbox_lose(task->sandbox, "the agent did not answer Kill in time");
	} else if (error && error->code == ENOENT && task_is_init(task)) {
		/* The guest knows of its end a moment before us. */
		ttrpc_call_fail(request->call, TTRPC_NOT_FOUND, "container not running");
	} else if (error) {
		agent_client_fail(request->call, error);
	} else if (request->signal == SIGKILL) {
		task_await_end(task, request->call);
	} else {
		reply_empty(request->call);
	}
	task_unref(task);
	free(request);
}

static void kill_creating(struct container *container, struct ttrpc_call *call, uint32_t number)
{
	struct error *error = NULL;

	if (number != SIGKILL && number != SIGTERM) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION,
				"a container that is being created takes only SIGKILL and SIGTERM");
		return;
	}
	reply_empty(call);
	(void)error_set(&error, ECANCELED, "the container was killed while it was being created");
	container_abort_create(container, error);
}

void task_kill(struct task *task, struct ttrpc_call *call, const Task__KillRequest *request)
{
	Agent__SignalRequest signal = AGENT__SIGNAL_REQUEST__INIT;
	struct sandbox *sandbox = task->sandbox;
	struct error *error = NULL;
	struct kill *pending;

	if (request->signal >= NSIG) {
		ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT, "unknown signal \"%u\"",
				request->signal);
		return;
	}
	/* runc 1.1: "kill --all" of a container that has gone is not an error. */
	if (request->all && task->ended) {
		reply_empty(call);
		return;
	}
	if (task_check(task, TASK_OP_KILL, &error) < 0) {
		call_fail(call, error);
		return;
	}
	if (task->state == TASK_CREATING) {
		kill_creating(task->container, call, request->signal);
		return;
	}
	if (!sandbox_is_up(sandbox)) {
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "container not running");
		return;
	}
	/* As runc. */
	if (request->signal == SIGKILL && task_is_init(task))
		vmm_thaw(sandbox->vmm);
	pending = xcalloc(1, sizeof(*pending));
	pending->task = task_ref(task);
	pending->call = call;
	pending->signal = request->signal;
	signal.id = task->container->guest_id;
	signal.exec_id = task->exec_id;
	signal.signal = request->signal;
	signal.all = request->all;
	agent_client_call(sandbox->agent, "Signal", &signal.base, &agent__empty__descriptor,
			  KILL_TIMEOUT_MS, killed, pending);
}

/* ---- Pause, Resume ---- */

struct freeze {
	struct task *init;
	struct ttrpc_call *call;
	enum task_state from, to;
};

static void frozen(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct freeze *request = data;
	struct task *init = request->init;

	/* It may have ended meanwhile. */
	if (init->container)
		init->container->freezing = false;
	if (!error && init->container && init->state == request->from)
		task_set_state(init, request->to);
	answered_empty(request->call, response, error);
	task_unref(init);
	free(request);
}

/* Before the start as after it; another state has been refused. */
static enum task_state frozen_state(enum task_state state)
{
	return state == TASK_CREATED ? TASK_HELD : TASK_PAUSED;
}

static enum task_state thawed_state(enum task_state state)
{
	return state == TASK_HELD ? TASK_CREATED : TASK_RUNNING;
}

static void freeze(struct container *container, struct ttrpc_call *call, bool pause)
{
	Agent__ContainerRequest request = AGENT__CONTAINER_REQUEST__INIT;
	struct freeze *pending;

	if (!may_ask(container, pause ? TASK_OP_PAUSE : TASK_OP_RESUME, call))
		return;
	pending = xcalloc(1, sizeof(*pending));
	pending->init = task_ref(container->init);
	pending->call = call;
	pending->from = container->init->state;
	pending->to = pause ? frozen_state(pending->from) : thawed_state(pending->from);
	container->freezing = true;
	request.id = container->guest_id;
	agent_client_call(container->sandbox->agent, pause ? "Pause" : "Resume", &request.base,
			  &agent__empty__descriptor, AGENT_TIMEOUT_MS, frozen, pending);
}

void container_pause(struct container *container, struct ttrpc_call *call)
{
	freeze(container, call, true);
}

void container_resume(struct container *container, struct ttrpc_call *call)
{
	freeze(container, call, false);
}

/* ---- ResizePty ---- */

void task_resize(struct task *task, struct ttrpc_call *call, uint32_t width, uint32_t height)
{
	Agent__ResizeRequest request = AGENT__RESIZE_REQUEST__INIT;
	struct sandbox *sandbox = task->sandbox;

	/* The agent gets it with the process if it does not have that yet. */
	task->width = width;
	task->height = height;
	if (!task->terminal || !task->with_agent || task->state >= TASK_DRAINING ||
	    !sandbox_is_up(sandbox)) {
		if (call)
			reply_empty(call);
		return;
	}
	request.id = task->container->guest_id;
	request.exec_id = task->exec_id;
	request.width = width;
	request.height = height;
	agent_client_call(sandbox->agent, "Resize", &request.base, &agent__empty__descriptor,
			  AGENT_TIMEOUT_MS, call ? answered_empty : NULL, call);
}

/* ---- Update, Stats, Processes ---- */

struct update {
	struct task *init;
	struct ttrpc_call *call;
	const Task__Any *text; /* the call's; parsed: */
	struct spec_resources *resources;
};

/* vCPUs that came for it, and are not needed now, go. */
static void update_free(struct update *update)
{
	struct container *container = update->init->container;
	struct sandbox *sandbox = update->init->sandbox;

	if (container && container->coming == update->resources)
		container->coming = NULL;
	if (sandbox_is_up(sandbox) && vcpus_wanted(sandbox) < sandbox->vcpus)
		vcpus_settle(sandbox, NULL, NULL);
	spec_resources_free(update->resources);
	task_unref(update->init);
	free(update);
}

/* Of the sandbox's cgroup, which has the limits of its main container alone. */
static int update_host(const struct update *update, struct error **ret_error)
{
	const struct container *container = update->init->container;
	const struct sandbox *sandbox = update->init->sandbox;

	if (!container || !container->main || !sandbox_is_up(sandbox))
		return 0;
	return vmm_update(sandbox->vmm, update->resources, ret_error);
}

static void note_update(struct container *container, struct spec_resources *resources)
{
	if (resources->memory.limit)
		container->memory_limit = *resources->memory.limit;
	plan_update_note(&container->spec->linux_.resources, resources);
}

/* What the guest has taken.  Memory that nobody wants any more it gives back later, or never. */
static void updated(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct update *request = data;
	struct error *failure = NULL;

	(void)response;
	if (error) {
		agent_client_fail(request->call, error);
	} else if (update_host(request, &failure) < 0) {
		call_fail(request->call, failure);
	} else {
		if (request->init->container)
			note_update(request->init->container, request->resources);
		reply_empty(request->call);
	}
	growth_settle(request->init->sandbox);
	update_free(request);
}

/* The machine has the memory. */
static void update_guest(void *data, const struct error *error)
{
	Agent__UpdateRequest request = AGENT__UPDATE_REQUEST__INIT;
	struct update *update = data;
	struct container *container = update->init->container;

	if (error) {
		ttrpc_call_fail(update->call, ttrpc_code_of_errno(error->code),
				"linux.resources.memory.limit: %.*s", AGENT_TEXT_MAX,
				agent_client_text(error));
		update_free(update);
		return;
	}
	if (!container || !sandbox_is_up(update->init->sandbox)) {
		ttrpc_call_fail(update->call, TTRPC_UNAVAILABLE, "the guest has ended");
		update_free(update);
		return;
	}
	request.id = container->guest_id;
	request.resources = update->text->value;
	agent_client_call(container->sandbox->agent, "Update", &request.base,
			  &agent__empty__descriptor, AGENT_TIMEOUT_MS, updated, update);
}

/* Memory comes before the limit is raised, and goes after it was lowered. */
static void begin_update(struct container *container, struct update *update)
{
	struct sandbox *sandbox = container->sandbox;
	const uint64_t others = growth_limits(sandbox, container);
	const int64_t *limit = update->resources->memory.limit;
	const uint64_t limits = others + (limit && *limit > 0 ? (uint64_t)*limit : 0);

	if (plan_growth_mib(sandbox->plan, limits) > sandbox->plan->grown_mib)
		growth_begin(sandbox, limits, update_guest, update);
	else
		update_guest(update, NULL);
}

/* So do CPUs.  The container may have ended meanwhile. */
static void vcpus_are_there(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct update *update = data;
	struct container *container = update->init->container;

	(void)response;
	if (!error && container && may_ask(container, TASK_OP_INSPECT, update->call)) {
		begin_update(container, update);
		return;
	}
	if (error)
		agent_client_fail(update->call, error);
	else if (!container)
		ttrpc_call_fail(update->call, TTRPC_NOT_FOUND, "the container is gone");
	update_free(update);
}

void container_update(struct container *container, struct ttrpc_call *call,
		      const Task__Any *resources)
{
	_cleanup_(spec_resources_freep) struct spec_resources *parsed = NULL;
	struct sandbox *sandbox = container->sandbox;
	struct error *error = NULL;
	struct update *pending;

	if (!resources) {
		ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT, "the resources are missing");
		return;
	}
	if (spec_parse_resources((const char *)resources->value.data, resources->value.len, &parsed,
				 &error) < 0) {
		call_fail(call, error);
		return;
	}
	if (!may_ask(container, TASK_OP_INSPECT, call))
		return;
	if (plan_update_check(sandbox->plan, &container->spec->linux_.resources, parsed,
			      growth_limits(sandbox, container), &error) < 0) {
		call_fail(call, error);
		return;
	}
	pending = xcalloc(1, sizeof(*pending));
	pending->init = task_ref(container->init);
	pending->call = call;
	pending->text = resources;
	pending->resources = TAKE_PTR(parsed);
	container->coming = pending->resources;
	if (vcpus_are_missing(sandbox))
		vcpus_settle(sandbox, vcpus_are_there, pending);
	else
		begin_update(container, pending);
}

/* What the guest packed is unpacked here, so that a client never sees what is not
 * the message it asked for. */
static void stats_answered(void *data, const ProtobufCMessage *response, const struct error *error)
{
	const Agent__StatsResponse *stats = (const Agent__StatsResponse *)response;
	struct ttrpc_call *call = data;
	Task__StatsResponse answer = TASK__STATS_RESPONSE__INIT;
	Task__Metrics *metrics;
	Task__Any any;

	if (error) {
		agent_client_fail(call, error);
		return;
	}
	metrics = (Task__Metrics *)message_unpack(&task__metrics__descriptor, stats->metrics.data,
						  stats->metrics.len, NULL);
	if (!metrics) {
		ttrpc_call_fail(call, TTRPC_INTERNAL, "the agent's metrics cannot be read");
		return;
	}
	any_pack(&any, "io.containerd.cgroups.v2.Metrics", &metrics->base);
	answer.stats = &any;
	ttrpc_call_reply(call, &answer.base);
	any_done(&any);
	task__metrics__free_unpacked(metrics, NULL);
}

void container_stats(struct container *container, struct ttrpc_call *call)
{
	Agent__ContainerRequest request = AGENT__CONTAINER_REQUEST__INIT;

	if (!may_ask(container, TASK_OP_INSPECT, call))
		return;
	request.id = container->guest_id;
	agent_client_call(container->sandbox->agent, "Stats", &request.base,
			  &agent__stats_response__descriptor, AGENT_TIMEOUT_MS, stats_answered,
			  call);
}

static void processes_answered(void *data, const ProtobufCMessage *response,
			       const struct error *error)
{
	const Agent__ProcessesResponse *packed = (const Agent__ProcessesResponse *)response;
	struct ttrpc_call *call = data;
	Sandbox__ProcessesResponse *answer;

	if (error) {
		agent_client_fail(call, error);
		return;
	}
	answer = (Sandbox__ProcessesResponse *)message_unpack(
	    &sandbox__processes_response__descriptor, packed->processes.data, packed->processes.len,
	    NULL);
	if (!answer) {
		ttrpc_call_fail(call, TTRPC_INTERNAL, "the agent's process list cannot be read");
		return;
	}
	ttrpc_call_reply(call, &answer->base);
	sandbox__processes_response__free_unpacked(answer, NULL);
}

void container_processes(struct container *container, struct ttrpc_call *call)
{
	Agent__ContainerRequest request = AGENT__CONTAINER_REQUEST__INIT;

	if (!may_ask(container, TASK_OP_INSPECT, call))
		return;
	request.id = container->guest_id;
	agent_client_call(container->sandbox->agent, "Processes", &request.base,
			  &agent__processes_response__descriptor, AGENT_TIMEOUT_MS,
			  processes_answered, call);
}
