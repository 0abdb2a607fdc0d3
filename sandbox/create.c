/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Create: from a request to a container that waits for its start.
 *
 * A list of steps, the same for every container, each of which does its part and ends, now
 * or later, in next_step() or in container_abort_create() (abort.c).
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/random.h"
#include "host/mounts.h"
#include "host/network-options.h"
#include "protocol/agent.h"
#include "protocol/sandbox.pb-c.h"
#include "sandbox/agent-files.h"
#include "sandbox/checkpoint-layers.h"
#include "sandbox/growth.h"
#include "sandbox/kept.h"
#include "sandbox/resolver.h"
#include "sandbox/restore.h"
#include "sandbox/sandbox.h"
#include "sandbox/stdio/preserved.h"
#include "sandbox/vcpus.h"
#include "ttrpc/any.h"

struct create_step {
	const char *name;
	void (*run)(struct container *container);
};

static void next_step(struct container *container)
{
	container->create_step++;
	log_debug("create %s: %s", container->id, container->create_step->name);
	container->create_step->run(container);
}

/* ---- giving up ---- */

static void forget_container(struct container *container)
{
	struct error *error = TAKE_PTR(container->create_error);
	struct ttrpc_call *call = TAKE_PTR(container->create_call);
	struct ttrpc_call *delete_call = TAKE_PTR(container->delete_call);
	struct sandbox *sandbox = container->sandbox;
	Task__DeleteResponse deleted = TASK__DELETE_RESPONSE__INIT;
	Task__Timestamp exited_at;

	timestamp_init(&exited_at, clock_realtime_ns());
	deleted.pid = (uint32_t)sandbox->pid;
	deleted.exit_status = STATUS_KILLED;
	deleted.exited_at = &exited_at;
	container_free(container);
	call_fail(call, error);
	if (delete_call)
		ttrpc_call_reply(delete_call, &deleted.base);
}

static void poststop_done(void *data, const struct error *error)
{
	struct container *container = data;

	(void)error; /* each failure has been logged */
	container->hooks = NULL;
	forget_container(container);
}

/* Nothing of it is left in the guest.  runtime-spec runtime.md "Lifecycle": a create
 * that failed in or after its hooks still ends with the poststop hooks. */
void container_finish_abort(struct container *container)
{
	if (container->hooks)
		return;
	if (container->hooks_begun && container->spec->hooks.poststop.n_hooks > 0)
		container_run_hooks(container, "poststop", &container->spec->hooks.poststop,
				    STATUS_STOPPED, poststop_done);
	else
		forget_container(container);
}

static void abort_with(struct container *container, const struct error *error, const char *what)
{
	struct error *copy = NULL;

	/* The connection tells of the guest's or the VMM's death before these do:
	 * then the log has the cause. */
	if (error->code == ECONNRESET && sandbox_is_up(container->sandbox)) {
		sandbox_lose(container->sandbox, agent_client_text(error));
		return;
	}
	(void)error_set(&copy, error->code, "%s%.*s", what, AGENT_TEXT_MAX,
			agent_client_text(error));
	container_abort_create(container, copy);
}

/* ---- the steps ---- */

/* A machine of its own, or the sandbox's, which runs. */
static void step_machine(struct container *container)
{
	struct sandbox *sandbox = container->sandbox;
	struct error *error = NULL;

	if (container->machine_plan) {
		free(sandbox->main_id);
		sandbox->main_id = xstrdup(container->id);
	}
	if (container->machine_plan &&
	    sandbox_start(sandbox, TAKE_PTR(container->machine_plan), &error) < 0)
		container_abort_create(container, error);
	else if (sandbox->state == SANDBOX_READY)
		next_step(container);
}

/* Of what the guest does not take, the container is promised nothing that it would be held to. */
static void memory_there(void *data, const struct error *error)
{
	struct container *container = data;

	if (error)
		log_warning("the memory of %s: %s", container->id, agent_client_text(error));
	next_step(container);
}

/* A machine that was made for it has its memory already. */
static void step_memory(struct container *container)
{
	struct sandbox *sandbox = container->sandbox;

	if (container->main)
		next_step(container);
	else
		growth_begin(sandbox, growth_limits(sandbox, NULL), memory_there, container);
}

static void hooks_done(void *data, const struct error *error)
{
	struct container *container = data;

	container->hooks = NULL;
	if (error)
		abort_with(container, error, "");
	else
		next_step(container);
}

static void run_hooks(struct container *container, const char *kind,
		      const struct spec_hook_list *list)
{
	container->hooks_begun = true;
	if (list->n_hooks > 0)
		container_run_hooks(container, kind, list, STATUS_CREATING, hooks_done);
	else
		next_step(container);
}

static void step_prestart(struct container *container)
{
	run_hooks(container, "prestart", &container->spec->hooks.prestart);
}

static void step_create_runtime(struct container *container)
{
	run_hooks(container, "createRuntime", &container->spec->hooks.create_runtime);
}

static void step_create_container(struct container *container)
{
	run_hooks(container, "createContainer", &container->spec->hooks.create_container);
}

/* A machine that was made for it has what is shared and the disks already. */
static void step_files(struct container *container)
{
	struct sandbox *sandbox = container->sandbox;
	const struct plan_files *files = &container->plan->files;
	struct error *error = NULL;

	if (forwards_new(sandbox->loop, sandbox->lodge, sandbox->options.directory, files,
			 &container->forwards, &error) < 0 ||
	    (!container->staged &&
	     vmm_stage(sandbox->vmm, VMM_STAGE_EXTEND, &files->stage, &error) < 0)) {
		container_abort_create(container, error);
		return;
	}
	container->staged = true;
	next_step(container);
}

static void streams_open(void *data, const struct error *error)
{
	struct container *container = data;

	if (error)
		abort_with(container, error, "");
	else
		next_step(container);
}

static void step_streams(struct container *container)
{
	struct error *error = NULL;

	if (stdio_connect(container->init->stdio, container->sandbox->vmm, streams_open, container,
			  &error) < 0)
		container_abort_create(container, error);
}

static void step_take_up(struct container *container)
{
	struct error *error = NULL;

	/* The machine has its volumes. */
	restore_close_disks(container->restore);
	if (restore_streams(container, streams_open, &error) < 0)
		container_abort_create(container, error);
}

static void vcpus_come(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct container *container = data;

	(void)response;
	container->agent_creates = false;
	if (container->create_error)
		container_on_released(container);
	else if (error)
		abort_with(container, error, "");
	else
		next_step(container);
}

/* The machine was made for what was known then: of a pod, maybe not for this container. */
static void step_vcpus(struct container *container)
{
	if (!vcpus_are_missing(container->sandbox)) {
		next_step(container);
		return;
	}
	container->agent_creates = true;
	vcpus_settle(container->sandbox, vcpus_come, container);
}

static void agent_created(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct container *container = data;

	(void)response;
	container->agent_creates = false;
	if (container->create_error && error)
		container_on_released(container);
	else if (container->create_error)
		container_release(container);
	else if (error)
		abort_with(container, error, "");
	else
		next_step(container);
}

static size_t fill_joins(const struct container *container, Agent__Join *joins,
			 Agent__Join **pointers)
{
	char *main_id = container->sandbox->main_id;
	size_t n = 0;

	for (size_t i = 0; i < SPEC_NS_COUNT; i++) {
		if (!container->plan->shared[i])
			continue;
		agent__join__init(&joins[n]);
		joins[n].type = (char *)spec_namespace_name((enum spec_namespace_type)i);
		joins[n].id = main_id ? main_id : (char *)"";
		pointers[n] = &joins[n];
		n++;
	}
	return n;
}

static void step_agent(struct container *container)
{
	Agent__CreateRequest request = AGENT__CREATE_REQUEST__INIT;
	struct preserved_list descriptors;
	Agent__Join joins[SPEC_NS_COUNT];
	Agent__Join *join_pointers[SPEC_NS_COUNT];
	struct task *init = container->init;
	struct agent_files *files =
	    agent_files_new(container->plan, container->sandbox->plan->share, &request);

	request.id = init->id;
	request.config =
	    (ProtobufCBinaryData){ container->config_size, (uint8_t *)container->config };
	request.stdin_port = stdio_port(init->stdio, STDIO_IN);
	request.stdout_port = stdio_port(init->stdio, STDIO_OUT);
	request.stderr_port = stdio_port(init->stdio, STDIO_ERR);
	if (stdio_tty(init->stdio) >= 0)
		terminal_size(stdio_tty(init->stdio), &init->width, &init->height);
	if (!init->width && !init->height) {
		init->width = container->spec->process.console_width;
		init->height = container->spec->process.console_height;
	}
	request.width = init->width;
	request.height = init->height;
	request.bundle = container->bundle;
	request.n_descriptors = preserved_list(stdio_preserved(init->stdio), &descriptors);
	request.descriptors = descriptors.pointers;
	request.listen_fds = container->listen_fds;
	request.joins = join_pointers;
	request.n_joins = fill_joins(container, joins, join_pointers);
	container->agent_creates = true;
	agent_client_call(container->sandbox->agent, "Create", &request.base,
			  &agent__create_response__descriptor, AGENT_TIMEOUT_MS, agent_created,
			  container);
	agent_files_free(files);
}

static void step_created(struct container *container)
{
	struct sandbox *sandbox = container->sandbox;
	_cleanup_error_ struct error *error = NULL;
	Task__CreateTaskResponse response = TASK__CREATE_TASK_RESPONSE__INIT;

	container->init->with_agent = true;
	task_set_state(container->init, TASK_CREATED);
	stdio_start(container->init->stdio);
	task_watch_exit(container->init);
	if (container->restore) {
		restore_execs(container);
		growth_restored(sandbox);
	}
	if (published_new_files(sandbox->loop, sandbox->vmm, sandbox->options.directory,
				container->id, &container->plan->files, &container->published,
				&error) < 0) {
		log_warning("%s", error->message);
		error_free(TAKE_PTR(error));
	}
	/* The destinations are there now, and none of the user's programs yet. */
	if (vmm_stage(sandbox->vmm, VMM_STAGE_SHOW, &container->plan->files.stage, &error) < 0)
		log_warning("%s", error->message);
	container_watch_oom(container);
	if (container->restore)
		checkpoint_stats_restore(&container->restore->stats, container->restore->n_pages);
	response.pid = (uint32_t)sandbox->pid;
	container->create_request = NULL;
	ttrpc_call_reply(TAKE_PTR(container->create_call), &response.base);
}

static const struct create_step steps[] = {
	{ "have a machine", step_machine },
	{ "have its memory there", step_memory },
	{ "bring its files into the machine", step_files },
	{ "prestart hooks", step_prestart },
	{ "createRuntime hooks", step_create_runtime },
	{ "createContainer hooks", step_create_container },
	{ "have enough CPUs", step_vcpus },
	{ "open the streams", step_streams },
	{ "create the container in the guest", step_agent },
	{ "created", step_created },
};

/* createContainer hooks have run in the guest's namespaces, which are still there.  The machine
 * resets streams that are not taken up in time, and hooks may take theirs. */
static const struct create_step restore_steps[] = {
	{ "have the machine again", step_machine },	    { "take up the streams", step_take_up },
	{ "bring its files into the machine", step_files }, { "prestart hooks", step_prestart },
	{ "createRuntime hooks", step_create_runtime },	    { "created", step_created },
};

void container_on_machine_ready(struct container *container)
{
	if ((container->create_step == &steps[0] || container->create_step == &restore_steps[0]) &&
	    !container->create_error)
		next_step(container);
}

/* ---- the request ---- */

/* Is there no machine yet? Then one is made for this container. */
static bool brings_machine(const struct container *container)
{
	return sandbox_has_no_machine(container->sandbox);
}

static void tty_resized(void *data, uint32_t width, uint32_t height)
{
	struct container *container = data;

	task_resize(container->init, NULL, width, height);
}

static void tty_hung_up(void *data)
{
	struct container *container = data;

	if (container->init->stdio)
		stdio_hang_up(container->init->stdio);
}

static int open_stdio(struct container *container, struct ttrpc_call *call,
		      const struct stdio_names *names, bool terminal_owner,
		      struct error **ret_error)
{
	const struct terminal_events events = { .resized = tty_resized,
						.hung_up = tty_hung_up,
						.data = container };

	if (names->terminal != container->spec->process.terminal)
		return error_set(ret_error, EINVAL,
				 "process.terminal is %s in config.json, but %s in the request",
				 container->spec->process.terminal ? "true" : "false",
				 names->terminal ? "true" : "false");
	if (stdio_new(container->sandbox->loop, call, names, &container->init->stdio, ret_error) <
	    0)
		return -1;
	if (!terminal_owner || stdio_tty(container->init->stdio) < 0)
		return 0;
	return terminal_follow(container->sandbox->loop, stdio_tty(container->init->stdio), &events,
			       &container->terminal, ret_error);
}

static int load_config(struct container *container, const Sandbox__CreateOptions *options,
		       struct error **ret_error)
{
	_cleanup_free_ char *path = options && options->config[0]
					? xstrdup(options->config)
					: xasprintf("%s/config.json", container->bundle);

	if (read_file(path, SPEC_SIZE_MAX, &container->config, &container->config_size, ret_error) <
	    0)
		return -1;
	if (spec_parse(container->config, container->config_size, &container->spec, ret_error) < 0)
		return error_wrap(ret_error, "%s", path);
	/* Else the command line has told of them. */
	if (container->sandbox->options.namespace)
		spec_log_warnings(container->spec);
	return 0;
}

/* A container that has passt's network has names, too. */
static int add_resolver(struct container *container, const Sandbox__CreateOptions *options,
			struct error **ret_error)
{
	const struct resolver_request request = { .directory =
						      container->sandbox->options.directory,
						  .bundle = container->bundle,
						  .spec = container->spec };

	if (!brings_machine(container) || !options || !network_is_passt(options->network))
		return 0;
	if (resolver_add(&request, &container->config, &container->config_size, ret_error) < 0)
		return -1;
	spec_free(container->spec);
	container->spec = NULL;
	return spec_parse(container->config, container->config_size, &container->spec, ret_error);
}

/* Images are the machine's disks; anything else is mounted on the bundle's root
 * directory, which is then shared. */
static int mount_root(struct container *container, const Task__CreateTaskRequest *request,
		      struct error **ret_error)
{
	_cleanup_free_ char *target = xasprintf("%s/rootfs", container->bundle);

	if (request->n_rootfs == 0 || mounts_is_image(request->rootfs[0]))
		return 0;
	if (mounts_make(request->rootfs, request->n_rootfs, target, ret_error) < 0)
		return -1;
	container->mounted = true;
	return 0;
}

/* A pod's container comes to its own sandbox. */
static int check_pod(const struct container *container, struct error **ret_error)
{
	const char *pod = plan_pod_id(container->spec);

	if (brings_machine(container) || !pod || strcmp(pod, container->sandbox->options.id) == 0)
		return 0;
	return error_set(ret_error, EINVAL,
			 "the annotations name the sandbox %s, but this task server is that of %s",
			 pod, container->sandbox->options.id);
}

/* A sandbox's network is that of its first container. */
static int check_network(const struct container *container, const Sandbox__CreateOptions *options,
			 struct error **ret_error)
{
	if (brings_machine(container) || !options ||
	    (!options->network[0] && options->n_publish == 0))
		return 0;
	return error_set(ret_error, EINVAL,
			 "--network and --publish: the sandbox %s has its network already: give "
			 "them with its first container",
			 container->sandbox->options.id);
}

/* Its directory in the staging area. Never the same twice: the guest knows names for a second
 * longer than they last, and would find the root of one that is gone. And a secret from the
 * sandbox's other containers (agent/share.h). */
static int name_stage(char **ret_name, struct error **ret_error)
{
	uint64_t random[2];

	if (random_bytes(random, sizeof(random), ret_error) < 0)
		return -1;
	*ret_name = xasprintf("%016" PRIx64 "%016" PRIx64, random[0], random[1]);
	return 0;
}

/* A restored one finds its files again by the name that it had. */
static int choose_stage(struct container *container, struct settings *settings,
			struct error **ret_error)
{
	const struct restore *restore = container->restore;

	if (!restore)
		return name_stage(&container->stage, ret_error);
	container->stage = xstrdup(restore->manifest->stage);
	settings->has_interfaces = true;
	settings->interfaces = restore->manifest->interfaces;
	return 0;
}

static int make_plan(struct container *container, const Task__CreateTaskRequest *request,
		     const Sandbox__CreateOptions *options, struct error **ret_error)
{
	_cleanup_(settings_freep) struct settings *settings = NULL;
	struct sandbox *sandbox = container->sandbox;
	struct container_plan_request plan = {
		.spec = container->spec,
		.root = options ? options->root : NULL,
		.rootfs = request->rootfs,
		.n_rootfs = container->mounted ? 0 : request->n_rootfs,
		.bundle = container->bundle,
		.socket_port = sandbox->socket_port,
		.sandbox_pid = brings_machine(container) ? 0 : sandbox->pid,
		.cache_by_name = sandbox->plan && sandbox->plan->cache_by_name,
		.restored = container->restore,
	};

	if (settings_load(&settings, ret_error) < 0 ||
	    choose_stage(container, settings, ret_error) < 0)
		return -1;
	plan.stage = container->stage;
	plan.allow = allow_for(&settings->allow, container->spec, sandbox->options.namespace);
	if (container_plan_new(&plan, &container->plan, ret_error) < 0)
		return -1;
	container->staged = brings_machine(container);
	if (brings_machine(container) &&
	    sandbox_plan(sandbox, settings, container->spec, options, container->plan,
			 &container->machine_plan, ret_error) < 0)
		return -1;
	if (container->restore && (checkpoint_layers_check(container->restore->manifest,
							   container->plan, ret_error) < 0 ||
				   restore_machine(container->restore, container->spec,
						   container->machine_plan, ret_error) < 0))
		return -1;
	/* No two sockets of a sandbox have the same port. */
	sandbox->socket_port = MAX(sandbox->socket_port, (uint32_t)AGENT_FORWARD_PORT_FIRST) +
			       (uint32_t)container->plan->files.n_sockets;
	return 0;
}

/* A checkpoint may come from anywhere. containerd's have the network and the kernel that it gives
 * them, and none of the options that the command line has for them: one with any is not one of its
 * own. And no file says into which of the host's networks a machine goes. */
static int check_source(const struct container *container, const Sandbox__CreateOptions *asked,
			struct error **ret_error)
{
	const struct checkpoint_manifest *manifest = container->restore->manifest;

	if (container->sandbox->options.namespace && (manifest->network[0] || manifest->kernel[0]))
		return error_set(ret_error, EPERM,
				 "the checkpoint names a network or a kernel of its own, which "
				 "containerd has not given to the container");
	if (network_is_namespace(manifest->network) && (!asked || !asked->network[0]))
		return error_set(ret_error, EPERM,
				 "the container was in the network %.256s: say with --network "
				 "where it is to be now",
				 manifest->network);
	return 0;
}

/* options: the request's; in *ret_options, those of the checkpoint are in their place. */
static int load_checkpoint(struct container *container, const char *path,
			   const Sandbox__CreateOptions *options,
			   Sandbox__CreateOptions *ret_options, struct error **ret_error)
{
	if (!brings_machine(container))
		return error_set(
		    ret_error, ENOTSUP,
		    "a container cannot be restored into a machine that there is already "
		    "(a pod's): a checkpoint has a whole one");
	if (restore_open(path, options ? options->work_path : NULL, &container->restore,
			 ret_error) < 0)
		return -1;
	if (check_source(container, options, ret_error) < 0)
		return -1;
	restore_options(container->restore, options, ret_options);
	free(container->guest_id);
	container->guest_id = xstrdup(container->restore->manifest->id);
	container->oom_kills = container->restore->manifest->oom_kills;
	return 0;
}

/* For a checkpoint to come. */
static void note_options(struct container *container, const Sandbox__CreateOptions *options)
{
	if (!options)
		return;
	container->listen_fds = options->listen_fds;
	container->kernel = xstrdup(options->kernel);
	container->network = xstrdup(options->network);
	for (size_t i = 0; i < options->n_publish; i++)
		strv_append(&container->publish, options->publish[i]);
}

static int read_rule(const Sandbox__OutputLog *log, struct output_rule *ret_rule,
		     struct error **ret_error)
{
	ret_rule->max_size = log->max_size;
	ret_rule->max_files = log->max_files;
	return output_format_find(log->format, &ret_rule->format, ret_error);
}

static int prepare(struct container *container, struct ttrpc_call *call,
		   const Task__CreateTaskRequest *request, struct error **ret_error)
{
	_cleanup_(any_message_freep) ProtobufCMessage *message =
	    any_unpack(request->options, "supermachine.v1.CreateOptions",
		       &sandbox__create_options__descriptor);
	const Sandbox__CreateOptions *options = (const Sandbox__CreateOptions *)message;
	_cleanup_free_ char *whose = xasprintf("%s/", request->id);
	Sandbox__CreateOptions saved;
	struct output_rule rule = { 0 };
	const struct stdio_names names = { .names = { request->stdin, request->stdout,
						      request->stderr },
					   .terminal = request->terminal,
					   .log = options && options->output ? &rule : NULL,
					   .id = request->id,
					   .whose = whose,
					   .namespace = sandbox_namespace(container->sandbox) };

	if (any_is(request->options, "supermachine.v1.CreateOptions") && !options)
		return error_set(ret_error, EINVAL, "the options cannot be read");
	if (names.log && read_rule(options->output, &rule, ret_error) < 0)
		return -1;
	if (load_config(container, options, ret_error) < 0)
		return -1;
	if (options && options->oom_file[0])
		container->oom_file = xstrdup(options->oom_file);
	if (request->checkpoint[0]) {
		if (load_checkpoint(container, request->checkpoint, options, &saved, ret_error) < 0)
			return -1;
		options = &saved;
	}
	note_options(container, options);
	container->memory_limit = container->restore ? container->restore->manifest->memory_limit
						     : plan_memory_limit(container->spec);
	if (add_resolver(container, options, ret_error) < 0 ||
	    (container->restore &&
	     checkpoint_manifest_check_spec(container->restore->manifest, container->spec,
					    ret_error) < 0) ||
	    check_pod(container, ret_error) < 0 ||
	    check_network(container, options, ret_error) < 0 ||
	    mount_root(container, request, ret_error) < 0 ||
	    make_plan(container, request, options, ret_error) < 0)
		return -1;
	return open_stdio(container, call, &names, options && options->terminal_owner, ret_error);
}

/* What keeps a container from being created; NULL: nothing. */
static const char *why_not_ready(const struct sandbox *sandbox)
{
	const struct container *first = sandbox->containers;

	switch (sandbox->state) {
	case SANDBOX_EMPTY:
		return sandbox->kept ? "has not been started" : NULL;
	case SANDBOX_BOOTING:
		return "is being created";
	case SANDBOX_READY:
		if (sandbox->kept && sandbox->kept->stopping)
			return "has ended";
		return first && first->main && first->init->state == TASK_CREATING
			   ? "is being created"
			   : NULL;
	case SANDBOX_FINISHING:
	case SANDBOX_LOST:
		return "has ended";
	case SANDBOX_GONE:
		break;
	}
	/* One whose first Create failed is as good as new. */
	return sandbox->kept || first ? "has ended" : NULL;
}

/* May this container be created now, and here? */
static int admit(const struct sandbox *sandbox, const Task__CreateTaskRequest *request,
		 struct error **ret_error)
{
	const char *why;

	if (sandbox->shutting_down)
		return error_set(ret_error, ECONNRESET, "the task server is shutting down");
	if (container_find(sandbox, request->id))
		return error_set(ret_error, EEXIST, "container with given ID already exists: %s",
				 request->id);
	/* In containerd's hands, a server is for a group of containers; else for one, and those
	 * that join its namespaces. */
	if (!sandbox->options.namespace && sandbox_has_no_machine(sandbox) &&
	    strcmp(request->id, sandbox->options.id) != 0)
		return error_set(ret_error, EINVAL, "this task server is for the container %s",
				 sandbox->options.id);
	if (state_check_id(request->id, ret_error) < 0)
		return -1;
	why = why_not_ready(sandbox);
	if (why)
		return error_set(ret_error, EBUSY, "the sandbox %s is not ready for %s: it %s",
				 sandbox->options.id, request->id, why);
	return 0;
}

void container_create(struct sandbox *sandbox, struct ttrpc_call *call,
		      const Task__CreateTaskRequest *request)
{
	const struct stdio_names names = { .names = { request->stdin, request->stdout,
						      request->stderr },
					   .terminal = request->terminal };
	struct container *container;
	struct error *error = NULL;

	if (admit(sandbox, request, &error) < 0) {
		call_fail(call, error);
		return;
	}
	container = container_new(sandbox, request->id);
	container->main = brings_machine(container);
	container->bundle = xstrdup(request->bundle);
	container->init = task_new(container, "", &names);
	if (prepare(container, call, request, &error) < 0) {
		container_free(container);
		call_fail(call, error);
		return;
	}
	container->create_call = call;
	container->create_request = request;
	container->create_step = container->restore ? restore_steps : steps;
	container->create_step->run(container);
}
