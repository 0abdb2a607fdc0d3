/*
 * Create: from a request to a container that waits for its start.
 *
 * A list of steps, each of which does its part and ends, now or later, in
 * next_step() or in sandbox_abort_create().  An abort can come at any time (a
 * Kill, a Delete, the machine's death); from then on the steps' callbacks are
 * taken back or find create_error set, and the request fails when all is gone.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/paths.h"
#include "runtime-spec/accel.h"
#include "shim/agent-files.h"
#include "shim/mounts.h"
#include "shim/sandbox.h"
#include "ttrpc/any.h"
#include "ttrpc/sandbox.pb-c.h"

/* How often a machine is started for one Create.  On a host that is busy without end
 * about every second start goes wrong. */
#define BOOTS_MAX 12

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
	deleted.exit_status = 128 + SIGKILL;
	deleted.exited_at = &exited_at;
	container_free(container);
	sandbox_fail(call, error);
	if (delete_call)
		ttrpc_call_reply(delete_call, &deleted.base);
	sandbox_when_gone(sandbox);
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
void sandbox_create_gone(struct container *container)
{
	if (container->hooks)
		return;
	if (container->hooks_begun && container->spec->hooks.poststop.n_hooks > 0)
		container_run_hooks(container, "poststop", &container->spec->hooks.poststop,
				    STATUS_STOPPED, poststop_done);
	else
		forget_container(container);
}

static void look_whether_gone(void *data)
{
	struct container *container = data;

	container->create_timer = NULL;
	if (container->main)
		sandbox_when_gone(container->sandbox);
	else
		container_released(container);
}

/* The machine is there for this container, and goes with it. */
static void abort_machine(struct sandbox *sandbox)
{
	sandbox->booting_again = false;
	if (sandbox->agent)
		agent_client_break(sandbox->agent);
	if (sandbox->machine)
		machine_kill(sandbox->machine);
}

void sandbox_abort_create(struct container *container, struct error *error)
{
	struct sandbox *sandbox = container->sandbox;

	if (container->create_error) {
		error_free(error);
		return;
	}
	log_debug("create %s fails: %s", container->id, error->message);
	container->create_error = error;
	hooks_free(container->hooks);
	container->hooks = NULL;
	stdio_free(container->init->stdio);
	container->init->stdio = NULL;
	source_clear(&container->create_timer);
	if (container->main)
		abort_machine(sandbox);
	else if (container->agent_creates)
		return; /* what comes of it is removed then */
	container->create_timer =
	    loop_add_timer(sandbox->loop, 0, "create failed", look_whether_gone, container);
}

static void abort_with(struct container *container, const struct error *error, const char *what)
{
	struct error *copy = NULL;

	/* The connection tells of the guest's or the VMM's death before these do:
	 * then the log has the cause. */
	if (error->code == ECONNRESET && !container->sandbox->lost) {
		sandbox_lost(container->sandbox, agent_client_text(error));
		return;
	}
	(void)error_set(&copy, error->code, "%s%.*s", what, AGENT_TEXT_MAX,
			agent_client_text(error));
	sandbox_abort_create(container, copy);
}

/* ---- the steps ---- */

/* Of the main container, which is the first and as yet the only one. */
static void agent_greeted(void *data, const struct error *error)
{
	struct sandbox *sandbox = data;
	struct container *container = sandbox->containers;

	if (container->create_error)
		return;
	source_clear(&container->create_timer);
	if (error) {
		abort_with(container, error, "the agent does not answer: ");
		return;
	}
	sandbox->agent_ready = true;
	next_step(container);
}

static void agent_closed(void *data)
{
	struct sandbox *sandbox = data;

	agent_client_free(sandbox->agent);
	sandbox->agent = NULL;
	sandbox->agent_ready = false;
	sandbox_lost(sandbox, "the agent closed its connection");
	sandbox_when_gone(sandbox);
}

static void agent_dialled(void *data, int fd)
{
	struct sandbox *sandbox = data;
	struct error *error = NULL;

	if (agent_client_new(sandbox->loop, fd, agent_greeted, agent_closed, sandbox,
			     &sandbox->agent, &error) < 0)
		sandbox_abort_create(sandbox->containers, error);
}

static void boot_overdue(void *data)
{
	struct container *container = data;
	const struct sandbox *sandbox = container->sandbox;
	_cleanup_free_ char *tail = machine_log_tail(sandbox->machine);
	struct error *error = NULL;

	container->create_timer = NULL;
	(void)error_set(&error, ETIMEDOUT,
			"the guest did not come up within %llu s; the last lines of %s/vmm.log: %s",
			(unsigned long long)sandbox->options.boot_timeout_ms / 1000,
			sandbox->options.directory, tail[0] ? tail : "(none)");
	sandbox_abort_create(container, error);
}

void sandbox_boot(struct sandbox *sandbox)
{
	struct container *container = sandbox->containers;
	struct error *error = NULL;

	sandbox->n_boots++;
	if (sandbox_start_machine(sandbox, container->plan, agent_dialled, &error) < 0)
		sandbox_abort_create(container, error);
}

/* An emulated guest that reboots before its agent calls has found that its kernel has
 * the timer wrong (agent/timer.h), as it may happen on a busy host. */
static bool may_reboot(const struct sandbox *sandbox, const struct container *container)
{
	if (sandbox->n_boots >= BOOTS_MAX)
		return false;
	log_warning("the emulated guest of %s rebooted before its agent called: starting it "
		    "again (%u of at most %d times)",
		    container->id, sandbox->n_boots, BOOTS_MAX - 1);
	return true;
}

/* QEMU does not take over what is in the template, or the guest broke down for it. */
static bool may_do_without_template(const struct container *container)
{
	struct vm_config *config = container->plan->config;

	if (!config->templates || config->template_failed)
		return false;
	log_warning("the emulated guest of %s did not go on from its template: booting it",
		    container->id);
	config->template_failed = true;
	return true;
}

bool sandbox_boots_again(struct sandbox *sandbox)
{
	const struct container *container = sandbox->containers;
	const char *reason = machine_reason(sandbox->machine);

	if (!reason || sandbox->lost || sandbox->agent || !container || !container->plan ||
	    container->plan->config->accel != VM_ACCEL_TCG)
		return false;
	sandbox->booting_again = strcmp(reason, "reboot") == 0 ? may_reboot(sandbox, container)
							       : may_do_without_template(container);
	if (sandbox->booting_again)
		machine_kill(sandbox->machine);
	return sandbox->booting_again;
}

static void step_boot(struct container *container)
{
	struct sandbox *sandbox = container->sandbox;
	struct error *error = NULL;

	sandbox->n_boots = 0;
	if (forwards_new(sandbox->loop, sandbox->options.directory, &container->plan->files,
			 &container->forwards, &error) < 0) {
		sandbox_abort_create(container, error);
		return;
	}
	sandbox_boot(sandbox);
	if (container->create_error)
		return;
	container->create_timer = loop_add_timer(sandbox->loop, sandbox->options.boot_timeout_ms,
						 "boot timeout", boot_overdue, container);
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

/* What a machine of its own gets by step_boot. */
static void step_files(struct container *container)
{
	struct sandbox *sandbox = container->sandbox;
	const struct plan_files *files = &container->plan->files;
	struct error *error = NULL;

	if (forwards_new(sandbox->loop, sandbox->options.directory, files, &container->forwards,
			 &error) < 0 ||
	    machine_stage(sandbox->machine, MACHINE_STAGE_EXTEND, &files->stage, &error) < 0) {
		sandbox_abort_create(container, error);
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

	if (stdio_connect(container->init->stdio, container->sandbox->machine, streams_open,
			  container, &error) < 0)
		sandbox_abort_create(container, error);
}

static void agent_created(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct container *container = data;

	(void)response;
	container->agent_creates = false;
	if (container->create_error && error)
		container_released(container);
	else if (container->create_error && !container->main)
		container_release(container);
	else if (container->create_error)
		return;
	else if (error)
		abort_with(container, error, "");
	else
		next_step(container);
}

static size_t fill_joins(const struct container *container, Agent__Join *joins,
			 Agent__Join **pointers)
{
	size_t n = 0;

	for (size_t i = 0; i < SPEC_NS_COUNT; i++) {
		if (!container->plan->shared[i])
			continue;
		agent__join__init(&joins[n]);
		joins[n].type = (char *)spec_namespace_name((enum spec_namespace_type)i);
		joins[n].id = container->sandbox->containers->id;
		pointers[n] = &joins[n];
		n++;
	}
	return n;
}

static void step_agent(struct container *container)
{
	Agent__CreateRequest request = AGENT__CREATE_REQUEST__INIT;
	Agent__Join joins[SPEC_NS_COUNT];
	Agent__Join *join_pointers[SPEC_NS_COUNT];
	struct task *init = container->init;
	struct agent_files *files = agent_files_new(container->plan, &request);

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
	sandbox_watch_exit(container->init);
	if (published_new(sandbox->loop, sandbox->machine, sandbox->options.directory,
			  container->id, &container->plan->files, &container->published,
			  &error) < 0) {
		log_warning("%s", error->message);
		error_free(TAKE_PTR(error));
	}
	/* The destinations are there now, and none of the user's programs yet. */
	if (container->main && machine_stage(sandbox->machine, MACHINE_STAGE_SHOW,
					     &container->plan->files.stage, &error) < 0)
		log_warning("%s", error->message);
	container_watch_oom(container);
	if (container->main) {
		plan_free(container->plan);
		container->plan = NULL;
	}
	response.pid = (uint32_t)sandbox->pid;
	container->create_request = NULL;
	ttrpc_call_reply(TAKE_PTR(container->create_call), &response.base);
}

static const struct create_step main_steps[] = {
	{ "start the machine", step_boot },
	{ "prestart hooks", step_prestart },
	{ "createRuntime hooks", step_create_runtime },
	{ "createContainer hooks", step_create_container },
	{ "open the streams", step_streams },
	{ "create the container in the guest", step_agent },
	{ "created", step_created },
};

/* The machine is there. */
static const struct create_step later_steps[] = {
	{ "bring its files into the machine", step_files },
	{ "prestart hooks", step_prestart },
	{ "createRuntime hooks", step_create_runtime },
	{ "createContainer hooks", step_create_container },
	{ "open the streams", step_streams },
	{ "create the container in the guest", step_agent },
	{ "created", step_created },
};

/* ---- the request ---- */

static void tty_resized(void *data, uint32_t width, uint32_t height)
{
	struct container *container = data;

	sandbox_resize(container->init, NULL, width, height);
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

static int load_bundle(struct container *container, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/config.json", container->bundle);

	if (read_file(path, SPEC_SIZE_MAX, &container->config, &container->config_size, ret_error) <
	    0)
		return -1;
	if (spec_parse(container->config, container->config_size, &container->spec, ret_error) < 0)
		return error_wrap(ret_error, "%s", path);
	return 0;
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

	if (container->main || !pod || strcmp(pod, container->sandbox->options.id) == 0)
		return 0;
	return error_set(ret_error, EINVAL,
			 "the annotations name the sandbox %s, but this task server is that of %s",
			 pod, container->sandbox->options.id);
}

static int make_plan(struct container *container, const Task__CreateTaskRequest *request,
		     const Sandbox__CreateOptions *options, struct error **ret_error)
{
	struct sandbox *sandbox = container->sandbox;
	_cleanup_(settings_freep) struct settings *settings = NULL;
	/* Never the same twice: the guest knows names for a second longer than they last,
	 * and would find the root of one that is gone. */
	_cleanup_free_ char *stage = xasprintf("%u", sandbox->n_created++);
	_cleanup_free_ char *initramfs = xstrdup(sandbox->options.initramfs);
	struct plan_request plan = { .spec = container->spec,
				     .rootfs = request->rootfs,
				     .n_rootfs = container->mounted ? 0 : request->n_rootfs,
				     .stage = stage,
				     .bundle = container->bundle,
				     .socket_port = sandbox->socket_port,
				     .sandbox_pid = container->main ? 0 : sandbox->pid,
				     .cache_by_name = sandbox->cache_by_name,
				     .debug = sandbox->options.debug };
	struct accel_request accel = { .flag = options ? options->accel : NULL,
				       .spec = container->spec,
				       .vmm = sandbox->options.vmm };

	if (settings_load(&settings, ret_error) < 0)
		return -1;
	accel.settings = settings;
	if (settings->boot_timeout_s)
		sandbox->options.boot_timeout_ms = settings->boot_timeout_s * 1000;
	if (container->main && accel_find(&accel, &plan.accel, ret_error) < 0)
		return -1;
	if (!initramfs && paths_find_data("initramfs.cpio", &initramfs, ret_error) < 0)
		return -1;
	plan.settings = settings;
	plan.initramfs = initramfs;
	if (options) {
		plan.kernel = options->kernel;
		plan.vcpus = options->vcpus;
		plan.memory_mib = options->memory_mib;
		plan.root = options->root;
	}
	if (plan_new(&plan, &container->plan, ret_error) < 0)
		return -1;
	/* No two sockets of a sandbox have the same port. */
	sandbox->socket_port = MAX(sandbox->socket_port, (uint32_t)PLAN_SOCKET_PORT_FIRST) +
			       (uint32_t)container->plan->files.n_sockets;
	return 0;
}

static void free_messagep(ProtobufCMessage **message)
{
	protobuf_c_message_free_unpacked(*message, NULL);
}

static int prepare(struct container *container, struct ttrpc_call *call,
		   const Task__CreateTaskRequest *request, struct error **ret_error)
{
	_cleanup_(free_messagep) ProtobufCMessage *message =
	    any_unpack(request->options, "supermachine.v1.CreateOptions",
		       &sandbox__create_options__descriptor);
	const Sandbox__CreateOptions *options = (const Sandbox__CreateOptions *)message;
	const struct stdio_names names = { .names = { request->stdin, request->stdout,
						      request->stderr },
					   .terminal = request->terminal,
					   .id = request->id,
					   .namespace = sandbox_namespace(container->sandbox) };

	if (any_is(request->options, "supermachine.v1.CreateOptions") && !options)
		return error_set(ret_error, EINVAL, "the options cannot be read");
	if (load_bundle(container, ret_error) < 0 || check_pod(container, ret_error) < 0 ||
	    mount_root(container, request, ret_error) < 0 ||
	    make_plan(container, request, options, ret_error) < 0)
		return -1;
	return open_stdio(container, call, &names, options && options->terminal_owner, ret_error);
}

/* May this container be created now, and here? */
static int admit(const struct sandbox *sandbox, const Task__CreateTaskRequest *request,
		 struct error **ret_error)
{
	if (sandbox->shutting_down)
		return error_set(ret_error, ECONNRESET, "the task server is shutting down");
	if (container_find(sandbox, request->id))
		return error_set(ret_error, EEXIST, "container with given ID already exists: %s",
				 request->id);
	/* In containerd's hands, a server is for a group of containers. */
	if (!sandbox->options.namespace && strcmp(request->id, sandbox->options.id) != 0)
		return error_set(ret_error, EINVAL, "this task server is for the container %s",
				 sandbox->options.id);
	if (state_check_id(request->id, ret_error) < 0)
		return -1;
	if (request->checkpoint[0])
		return error_set(ret_error, ENOSYS, "restore is not supported yet");
	if (sandbox->containers && (sandbox->containers->init->state == TASK_CREATING ||
				    !sandbox->agent_ready || sandbox->lost || sandbox->finishing))
		return error_set(ret_error, EBUSY, "the sandbox %s is not ready for %s: it %s",
				 sandbox->containers->id, request->id,
				 sandbox->containers->init->state == TASK_CREATING
				     ? "is being created"
				     : "has ended");
	return 0;
}

void sandbox_create(struct sandbox *sandbox, struct ttrpc_call *call,
		    const Task__CreateTaskRequest *request)
{
	const struct stdio_names names = { .names = { request->stdin, request->stdout,
						      request->stderr },
					   .terminal = request->terminal };
	struct container *container;
	struct error *error = NULL;

	if (admit(sandbox, request, &error) < 0) {
		sandbox_fail(call, error);
		return;
	}
	container = container_new(sandbox, request->id);
	container->bundle = xstrdup(request->bundle);
	container->init = task_new(container, "", &names);
	if (prepare(container, call, request, &error) < 0) {
		container_free(container);
		sandbox_fail(call, error);
		return;
	}
	container->create_call = call;
	container->create_request = request;
	container->create_step = container->main ? main_steps : later_steps;
	container->create_step->run(container);
}
