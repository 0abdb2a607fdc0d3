/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox that is kept: see kept.h. */
#include "sandbox/kept.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "runtime-spec/machine-options.h"
#include "sandbox/sandbox.h"
#include "ttrpc/any.h"

/* The CRI plugin passes a message of the CRI's as it is. */
#define POD_CONFIG "runtime.v1.PodSandboxConfig"

static void fail_calls(struct ttrpc_call **calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ttrpc_call_fail(calls[i], TTRPC_UNAVAILABLE, "the task server is shutting down");
	free(calls);
}

void kept_free(struct kept *kept)
{
	if (!kept)
		return;
	fail_calls(kept->waiters, kept->n_waiters);
	fail_calls(kept->stops, kept->n_stops);
	if (kept->start_call)
		ttrpc_call_fail(kept->start_call, TTRPC_UNAVAILABLE,
				"the task server is shutting down");
	machine_plan_free(kept->plan);
	free(kept);
}

/* ---- CreateSandbox ---- */

static void annotate(struct spec *spec, const char *key, const char *value)
{
	spec->annotations =
	    xreallocarray(spec->annotations, spec->n_annotations + 1, sizeof(spec->annotations[0]));
	spec->annotations[spec->n_annotations++] =
	    (struct spec_key_value){ .key = xstrdup(key), .value = xstrdup(value) };
}

static void annotate_number(struct spec *spec, const char *key, int64_t value)
{
	_cleanup_free_ char *text = xasprintf("%lld", (long long)value);

	if (value > 0)
		annotate(spec, key, text);
}

/* Limits of all containers together, and what the pod costs beside. */
static void add_size(const Cri__LinuxPodSandboxConfig *linux_, struct spec *spec)
{
	const Cri__LinuxContainerResources *limits = linux_->resources;
	const Cri__LinuxContainerResources *overhead = linux_->overhead;
	int64_t quota;

	if (!limits)
		return;
	quota = limits->cpu_quota;
	annotate_number(spec, ANNOTATION_POD_MEMORY, limits->memory_limit_in_bytes);
	if (quota > 0 && overhead && overhead->cpu_quota > 0 &&
	    overhead->cpu_period == limits->cpu_period &&
	    __builtin_add_overflow(limits->cpu_quota, overhead->cpu_quota, &quota))
		quota = INT64_MAX;
	annotate_number(spec, ANNOTATION_POD_CPU_QUOTA, quota);
	annotate_number(spec, ANNOTATION_POD_CPU_PERIOD, limits->cpu_period);
}

static void add_pod(const Cri__PodSandboxConfig *pod, struct spec *spec)
{
	/* (Those that it may not have, the plan refuses: host/allow.h.) */
	for (size_t i = 0; i < pod->n_annotations; i++)
		if (strncmp(pod->annotations[i]->key, ANNOTATION_OURS, strlen(ANNOTATION_OURS)) ==
		    0)
			annotate(spec, pod->annotations[i]->key, pod->annotations[i]->value);
	if (pod->linux_config)
		add_size(pod->linux_config, spec);
	if (pod->hostname[0]) {
		free(spec->hostname);
		spec->hostname = xstrdup(pod->hostname);
	}
}

static void set_network(const char *path, struct spec *spec)
{
	struct spec_namespace *network = &spec->linux_.namespaces[SPEC_NS_NETWORK];

	if (!path[0])
		return;
	free(network->path);
	spec->has_linux = network->present = true;
	network->path = xstrdup(path);
}

/* The bundle's config.json, if the caller has one for the sandbox: the CRI plugin has not. */
static int read_spec(const char *bundle, struct spec **ret_spec, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/config.json", bundle);
	_cleanup_free_ char *text = NULL;
	size_t size;

	if (access(path, F_OK) < 0 && errno == ENOENT) {
		*ret_spec = xcalloc(1, sizeof(**ret_spec));
		return 0;
	}
	if (read_file(path, SPEC_SIZE_MAX, &text, &size, ret_error) < 0)
		return -1;
	if (spec_parse(text, size, ret_spec, ret_error) < 0)
		return error_wrap(ret_error, "%s", path);
	return 0;
}

static int make_spec(const SandboxApi__CreateSandboxRequest *request, struct spec **ret_spec,
		     struct error **ret_error)
{
	_cleanup_(spec_freep) struct spec *spec = NULL;
	Cri__PodSandboxConfig *pod = NULL;

	if (read_spec(request->bundle_path, &spec, ret_error) < 0)
		return -1;
	if (any_is(request->options, POD_CONFIG)) {
		pod = (Cri__PodSandboxConfig *)any_unpack(request->options, POD_CONFIG,
							  &cri__pod_sandbox_config__descriptor);
		if (!pod)
			return error_set(ret_error, EINVAL,
					 "the pod's configuration cannot be read");
		add_pod(pod, spec);
		cri__pod_sandbox_config__free_unpacked(pod, NULL);
	}
	for (size_t i = 0; i < request->n_annotations; i++)
		annotate(spec, request->annotations[i]->key, request->annotations[i]->value);
	set_network(request->netns_path, spec);
	*ret_spec = TAKE_PTR(spec);
	return 0;
}

static int check_create(const struct sandbox *sandbox,
			const SandboxApi__CreateSandboxRequest *request, struct error **ret_error)
{
	if (sandbox->shutting_down)
		return error_set(ret_error, ECONNRESET, "the task server is shutting down");
	if (sandbox->kept || sandbox->containers || sandbox->state != SANDBOX_EMPTY)
		return error_set(ret_error, EEXIST, "the sandbox %s exists already",
				 sandbox->options.id);
	if (request->n_rootfs > 0)
		return error_set(
		    ret_error, ENOTSUP,
		    "the sandbox's root file system (%s) cannot be used: the guest has "
		    "one of its own",
		    request->rootfs[0]->source);
	return 0;
}

void kept_create(struct sandbox *sandbox, struct ttrpc_call *call,
		 const SandboxApi__CreateSandboxRequest *request)
{
	_cleanup_(settings_freep) struct settings *settings = NULL;
	_cleanup_(spec_freep) struct spec *spec = NULL;
	Task__Empty response = TASK__EMPTY__INIT;
	struct machine_plan *plan;
	struct error *error = NULL;

	if (check_create(sandbox, request, &error) < 0 || make_spec(request, &spec, &error) < 0 ||
	    settings_load(&settings, &error) < 0 ||
	    sandbox_plan(sandbox, settings, spec, NULL, NULL, &plan, &error) < 0) {
		call_fail(call, error);
		return;
	}
	sandbox->kept = xcalloc(1, sizeof(*sandbox->kept));
	sandbox->kept->plan = plan;
	source_clear(&sandbox->idle_timer);
	ttrpc_call_reply(call, &response.base);
}

/* ---- StartSandbox ---- */

static void answer_start(struct sandbox *sandbox)
{
	SandboxApi__StartSandboxResponse response = SANDBOX_API__START_SANDBOX_RESPONSE__INIT;
	Task__Timestamp created_at;

	timestamp_init(&created_at, sandbox->kept->started_ns);
	response.pid = (uint32_t)sandbox->pid;
	response.created_at = &created_at;
	ttrpc_call_reply(TAKE_PTR(sandbox->kept->start_call), &response.base);
}

void kept_start(struct sandbox *sandbox, struct ttrpc_call *call)
{
	struct kept *kept = sandbox->kept;
	struct error *error = NULL;
	const char *why = !kept			   ? "has not been created"
			  : sandbox->shutting_down ? "is being shut down"
			  : kept->stopping	   ? "has been stopped"
			  : !kept->plan		   ? "has been started already"
						   : NULL;

	if (why) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION, "the sandbox %s %s",
				sandbox->options.id, why);
		return;
	}
	if (sandbox_start(sandbox, TAKE_PTR(kept->plan), &error) < 0) {
		kept->stopping = true;
		call_fail(call, error);
		/* Who waits for its end need wait no longer. */
		sandbox_settle(sandbox);
		return;
	}
	kept->start_call = call;
	kept->started_ns = clock_realtime_ns();
}

void kept_on_ready(struct sandbox *sandbox)
{
	if (sandbox->kept->start_call)
		answer_start(sandbox);
}

void kept_on_lost(struct sandbox *sandbox, const char *reason, const struct error *cause)
{
	struct kept *kept = sandbox->kept;

	if (!kept->stopping)
		sandbox->exit_status = STATUS_KILLED;
	kept->ended_ns = clock_realtime_ns();
	if (!kept->start_call)
		return;
	if (cause)
		ttrpc_call_fail_error(TAKE_PTR(kept->start_call), cause);
	else
		ttrpc_call_fail(TAKE_PTR(kept->start_call), TTRPC_UNAVAILABLE,
				"%.*s while the sandbox was being started", AGENT_TEXT_MAX, reason);
}

/* ---- StopSandbox, WaitSandbox ---- */

static void answer_wait(const struct sandbox *sandbox, struct ttrpc_call *call)
{
	SandboxApi__WaitSandboxResponse response = SANDBOX_API__WAIT_SANDBOX_RESPONSE__INIT;
	Task__Timestamp exited_at;

	timestamp_init(&exited_at, sandbox->kept->ended_ns);
	response.exit_status = sandbox->exit_status;
	response.exited_at = &exited_at;
	ttrpc_call_reply(call, &response.base);
}

/* It has come and gone, or will never come. */
static bool is_over(const struct sandbox *sandbox)
{
	return sandbox->state == SANDBOX_GONE ||
	       (sandbox->state == SANDBOX_EMPTY && sandbox->kept->stopping);
}

void kept_on_gone(struct sandbox *sandbox)
{
	Task__Empty stopped = TASK__EMPTY__INIT;
	struct kept *kept = sandbox->kept;

	if (!is_over(sandbox))
		return;
	if (!kept->ended_ns)
		kept->ended_ns = clock_realtime_ns();
	while (kept->n_waiters > 0)
		answer_wait(sandbox, kept->waiters[--kept->n_waiters]);
	while (kept->n_stops > 0)
		ttrpc_call_reply(kept->stops[--kept->n_stops], &stopped.base);
}

static bool check_kept(const struct sandbox *sandbox, struct ttrpc_call *call)
{
	if (!sandbox->kept)
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "the sandbox %s has not been created",
				sandbox->options.id);
	return sandbox->kept;
}

void kept_stop(struct sandbox *sandbox, struct ttrpc_call *call)
{
	struct kept *kept = sandbox->kept;

	if (!check_kept(sandbox, call))
		return;
	call_keep(&kept->stops, &kept->n_stops, call);
	kept->stopping = true;
	/* Where nothing runs in it, the agent may still write out what did. */
	if (sandbox_is_up(sandbox) && !sandbox_is_needed(sandbox, NULL))
		sandbox_end_unneeded(sandbox);
	else
		sandbox_lose(sandbox, "the sandbox is stopped");
	sandbox_settle(sandbox);
}

void kept_wait(struct sandbox *sandbox, struct ttrpc_call *call)
{
	if (!check_kept(sandbox, call))
		return;
	if (is_over(sandbox))
		answer_wait(sandbox, call);
	else
		call_keep(&sandbox->kept->waiters, &sandbox->kept->n_waiters, call);
}

/* ---- SandboxStatus ---- */

void kept_status(const struct sandbox *sandbox, struct ttrpc_call *call, bool verbose)
{
	SandboxApi__SandboxStatusResponse response = SANDBOX_API__SANDBOX_STATUS_RESPONSE__INIT;
	SandboxApi__SandboxStatusResponse__InfoEntry entry =
	    SANDBOX_API__SANDBOX_STATUS_RESPONSE__INFO_ENTRY__INIT;
	SandboxApi__SandboxStatusResponse__InfoEntry *entries[] = { &entry };
	const struct kept *kept = sandbox->kept;
	Task__Timestamp created_at, exited_at;

	if (!check_kept(sandbox, call))
		return;
	response.sandbox_id = (char *)sandbox->options.id;
	response.pid = (uint32_t)sandbox->pid;
	/* The words of the CRI plugin (k8s.io/cri-api PodSandboxState). */
	response.state =
	    (char *)(sandbox->state == SANDBOX_READY ? "SANDBOX_READY" : "SANDBOX_NOTREADY");
	if (kept->started_ns) {
		timestamp_init(&created_at, kept->started_ns);
		response.created_at = &created_at;
	}
	if (kept->ended_ns) {
		timestamp_init(&exited_at, kept->ended_ns);
		response.exited_at = &exited_at;
	}
	entry.key = (char *)"machine";
	entry.value = (char *)sandbox_state_name(sandbox->state);
	if (verbose) {
		response.info = entries;
		response.n_info = 1;
	}
	ttrpc_call_reply(call, &response.base);
}
