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

struct create_step {
	const char *name;
	void (*run)(struct sandbox *sandbox);
};

static void next_step(struct sandbox *sandbox)
{
	sandbox->create_step++;
	log_debug("create: %s", sandbox->create_step->name);
	sandbox->create_step->run(sandbox);
}

/* ---- giving up ---- */

static void forget_container(struct sandbox *sandbox)
{
	struct error *error = TAKE_PTR(sandbox->create_error);
	struct ttrpc_call *call = TAKE_PTR(sandbox->create_call);
	struct ttrpc_call *delete_call = TAKE_PTR(sandbox->delete_call);
	Task__DeleteResponse deleted = TASK__DELETE_RESPONSE__INIT;
	Task__Timestamp exited_at;

	timestamp_init(&exited_at, clock_realtime_ns());
	deleted.pid = (uint32_t)sandbox->pid;
	deleted.exit_status = 128 + SIGKILL;
	deleted.exited_at = &exited_at;
	sandbox_container_free(sandbox);
	sandbox->create_request = NULL;
	sandbox_fail(call, error);
	if (delete_call)
		ttrpc_call_reply(delete_call, &deleted.base);
	sandbox_when_gone(sandbox);
}

static void poststop_done(void *data, const struct error *error)
{
	struct sandbox *sandbox = data;

	(void)error; /* each failure has been logged */
	sandbox->hooks = NULL;
	forget_container(sandbox);
}

/* Machine and agent are gone.  runtime-spec runtime.md "Lifecycle": a create that
 * failed in or after its hooks still ends with the poststop hooks. */
void sandbox_create_gone(struct sandbox *sandbox)
{
	if (sandbox->hooks)
		return;
	if (sandbox->hooks_begun && sandbox->spec->hooks.poststop.n_hooks > 0)
		sandbox_run_hooks(sandbox, "poststop", &sandbox->spec->hooks.poststop,
				  STATUS_STOPPED, poststop_done);
	else
		forget_container(sandbox);
}

static void look_whether_gone(void *data)
{
	struct sandbox *sandbox = data;

	sandbox->boot_timer = NULL;
	sandbox_when_gone(sandbox);
}

void sandbox_abort_create(struct sandbox *sandbox, struct error *error)
{
	if (sandbox->create_error) {
		error_free(error);
		return;
	}
	log_debug("create fails: %s", error->message);
	sandbox->create_error = error;
	hooks_free(sandbox->hooks);
	sandbox->hooks = NULL;
	stdio_free(sandbox->init->stdio);
	sandbox->init->stdio = NULL;
	source_clear(&sandbox->boot_timer);
	if (sandbox->agent)
		agent_client_break(sandbox->agent);
	if (sandbox->machine)
		machine_kill(sandbox->machine);
	else
		sandbox->boot_timer =
		    loop_add_timer(sandbox->loop, 0, "create failed", look_whether_gone, sandbox);
}

static void abort_with(struct sandbox *sandbox, const struct error *error, const char *what)
{
	struct error *copy = NULL;

	/* The connection tells of the guest's or the VMM's death before these do:
	 * then the log has the cause. */
	if (error->code == ECONNRESET) {
		sandbox_lost(sandbox, agent_client_text(error));
		return;
	}
	(void)error_set(&copy, error->code, "%s%.*s", what, AGENT_TEXT_MAX,
			agent_client_text(error));
	sandbox_abort_create(sandbox, copy);
}

/* ---- the steps ---- */

static void agent_greeted(void *data, const struct error *error)
{
	struct sandbox *sandbox = data;

	if (sandbox->create_error)
		return;
	source_clear(&sandbox->boot_timer);
	if (error) {
		abort_with(sandbox, error, "the agent does not answer: ");
		return;
	}
	sandbox->agent_ready = true;
	next_step(sandbox);
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
		sandbox_abort_create(sandbox, error);
}

static void boot_overdue(void *data)
{
	struct sandbox *sandbox = data;
	_cleanup_free_ char *tail = machine_log_tail(sandbox->machine);
	struct error *error = NULL;

	sandbox->boot_timer = NULL;
	(void)error_set(&error, ETIMEDOUT,
			"the guest did not come up within %llu s; the last lines of %s/vmm.log: %s",
			(unsigned long long)sandbox->options.boot_timeout_ms / 1000,
			sandbox->options.directory, tail[0] ? tail : "(none)");
	sandbox_abort_create(sandbox, error);
}

static void step_boot(struct sandbox *sandbox)
{
	struct error *error = NULL;

	if (forwards_new(sandbox->loop, sandbox->options.directory, &sandbox->plan->files,
			 &sandbox->forwards, &error) < 0 ||
	    sandbox_start_machine(sandbox, agent_dialled, &error) < 0) {
		sandbox_abort_create(sandbox, error);
		return;
	}
	sandbox->boot_timer = loop_add_timer(sandbox->loop, sandbox->options.boot_timeout_ms,
					     "boot timeout", boot_overdue, sandbox);
}

static void hooks_done(void *data, const struct error *error)
{
	struct sandbox *sandbox = data;

	sandbox->hooks = NULL;
	if (error)
		abort_with(sandbox, error, "");
	else
		next_step(sandbox);
}

static void run_hooks(struct sandbox *sandbox, const char *kind, const struct spec_hook_list *list)
{
	sandbox->hooks_begun = true;
	if (list->n_hooks > 0)
		sandbox_run_hooks(sandbox, kind, list, STATUS_CREATING, hooks_done);
	else
		next_step(sandbox);
}

static void step_prestart(struct sandbox *sandbox)
{
	run_hooks(sandbox, "prestart", &sandbox->spec->hooks.prestart);
}

static void step_create_runtime(struct sandbox *sandbox)
{
	run_hooks(sandbox, "createRuntime", &sandbox->spec->hooks.create_runtime);
}

static void step_create_container(struct sandbox *sandbox)
{
	run_hooks(sandbox, "createContainer", &sandbox->spec->hooks.create_container);
}

static void streams_open(void *data, const struct error *error)
{
	struct sandbox *sandbox = data;

	if (error)
		abort_with(sandbox, error, "");
	else
		next_step(sandbox);
}

static void step_streams(struct sandbox *sandbox)
{
	struct error *error = NULL;

	if (stdio_connect(sandbox->init->stdio, sandbox->machine, streams_open, sandbox, &error) <
	    0)
		sandbox_abort_create(sandbox, error);
}

static void agent_created(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct sandbox *sandbox = data;

	(void)response;
	if (sandbox->create_error)
		return;
	if (error)
		abort_with(sandbox, error, "");
	else
		next_step(sandbox);
}

static void step_agent(struct sandbox *sandbox)
{
	Agent__CreateRequest request = AGENT__CREATE_REQUEST__INIT;
	struct task *init = sandbox->init;
	struct agent_files *files = agent_files_new(sandbox->plan, &request);

	request.id = init->id;
	request.config = (ProtobufCBinaryData){ sandbox->config_size, (uint8_t *)sandbox->config };
	request.stdin_port = stdio_port(init->stdio, STDIO_IN);
	request.stdout_port = stdio_port(init->stdio, STDIO_OUT);
	request.stderr_port = stdio_port(init->stdio, STDIO_ERR);
	if (stdio_tty(init->stdio) >= 0)
		terminal_size(stdio_tty(init->stdio), &init->width, &init->height);
	if (!init->width && !init->height) {
		init->width = sandbox->spec->process.console_width;
		init->height = sandbox->spec->process.console_height;
	}
	request.width = init->width;
	request.height = init->height;
	request.bundle = sandbox->bundle;
	agent_client_call(sandbox->agent, "Create", &request.base,
			  &agent__create_response__descriptor, AGENT_TIMEOUT_MS, agent_created,
			  sandbox);
	agent_files_free(files);
}

static void step_created(struct sandbox *sandbox)
{
	_cleanup_error_ struct error *error = NULL;
	Task__CreateTaskResponse response = TASK__CREATE_TASK_RESPONSE__INIT;

	sandbox->init->with_agent = true;
	task_set_state(sandbox->init, TASK_CREATED);
	stdio_start(sandbox->init->stdio);
	sandbox_watch_exit(sandbox->init);
	if (published_new(sandbox->loop, sandbox->machine, sandbox->options.directory,
			  sandbox->init->id, &sandbox->plan->files, &sandbox->published,
			  &error) < 0) {
		log_warning("%s", error->message);
		error_free(TAKE_PTR(error));
	}
	/* The destinations are there now, and none of the user's programs yet. */
	if (machine_show_mounts(sandbox->machine, &sandbox->plan->files.stage, &error) < 0)
		log_warning("%s", error->message);
	sandbox_watch_oom(sandbox);
	plan_free(sandbox->plan);
	sandbox->plan = NULL;
	response.pid = (uint32_t)sandbox->pid;
	sandbox->create_request = NULL;
	ttrpc_call_reply(TAKE_PTR(sandbox->create_call), &response.base);
}

static const struct create_step steps[] = {
	{ "start the machine", step_boot },
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
	struct sandbox *sandbox = data;

	sandbox_resize(sandbox->init, NULL, width, height);
}

static void tty_hung_up(void *data)
{
	struct sandbox *sandbox = data;

	if (sandbox->init->stdio)
		stdio_hang_up(sandbox->init->stdio);
}

static int open_stdio(struct sandbox *sandbox, struct ttrpc_call *call,
		      const struct stdio_names *names, bool terminal_owner,
		      struct error **ret_error)
{
	const struct terminal_events events = { .resized = tty_resized,
						.hung_up = tty_hung_up,
						.data = sandbox };

	if (names->terminal != sandbox->spec->process.terminal)
		return error_set(ret_error, EINVAL,
				 "process.terminal is %s in config.json, but %s in the request",
				 sandbox->spec->process.terminal ? "true" : "false",
				 names->terminal ? "true" : "false");
	if (stdio_new(sandbox->loop, call, names, &sandbox->init->stdio, ret_error) < 0)
		return -1;
	if (!terminal_owner || stdio_tty(sandbox->init->stdio) < 0)
		return 0;
	return terminal_follow(sandbox->loop, stdio_tty(sandbox->init->stdio), &events,
			       &sandbox->terminal, ret_error);
}

static int load_bundle(struct sandbox *sandbox, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/config.json", sandbox->bundle);

	if (read_file(path, SPEC_SIZE_MAX, &sandbox->config, &sandbox->config_size, ret_error) < 0)
		return -1;
	if (spec_parse(sandbox->config, sandbox->config_size, &sandbox->spec, ret_error) < 0)
		return error_wrap(ret_error, "%s", path);
	return 0;
}

/* Images are the machine's disks; anything else is mounted on the bundle's root
 * directory, which is then shared. */
static int mount_root(struct sandbox *sandbox, const Task__CreateTaskRequest *request,
		      struct error **ret_error)
{
	_cleanup_free_ char *target = xasprintf("%s/rootfs", sandbox->bundle);

	if (request->n_rootfs == 0 || mounts_is_image(request->rootfs[0]))
		return 0;
	if (mounts_make(request->rootfs, request->n_rootfs, target, ret_error) < 0)
		return -1;
	sandbox->mounted = true;
	return 0;
}

static int make_plan(struct sandbox *sandbox, const Task__CreateTaskRequest *request,
		     const Sandbox__CreateOptions *options, struct error **ret_error)
{
	_cleanup_(settings_freep) struct settings *settings = NULL;
	_cleanup_free_ char *vsock = xasprintf("%s/vsock.sock", sandbox->options.directory);
	_cleanup_free_ char *initramfs = xstrdup(sandbox->options.initramfs);
	struct plan_request plan = { .spec = sandbox->spec,
				     .rootfs = request->rootfs,
				     .n_rootfs = sandbox->mounted ? 0 : request->n_rootfs,
				     .id = request->id,
				     .bundle = sandbox->bundle,
				     .vsock_path = vsock,
				     .debug = sandbox->options.debug };
	struct accel_request accel = { .flag = options ? options->accel : NULL,
				       .spec = sandbox->spec,
				       .vmm = sandbox->options.vmm };

	if (settings_load(&settings, ret_error) < 0)
		return -1;
	accel.settings = settings;
	if (accel_find(&accel, &plan.accel, ret_error) < 0)
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
	return plan_new(&plan, &sandbox->plan, ret_error);
}

static void free_messagep(ProtobufCMessage **message)
{
	protobuf_c_message_free_unpacked(*message, NULL);
}

static int prepare(struct sandbox *sandbox, struct ttrpc_call *call,
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
					   .namespace = sandbox_namespace(sandbox) };

	if (any_is(request->options, "supermachine.v1.CreateOptions") && !options)
		return error_set(ret_error, EINVAL, "the options cannot be read");
	sandbox->bundle = xstrdup(request->bundle);
	sandbox->created_ns = clock_realtime_ns();
	sandbox->init = task_new(sandbox, request->id, "", &names);
	if (load_bundle(sandbox, ret_error) < 0 || mount_root(sandbox, request, ret_error) < 0 ||
	    make_plan(sandbox, request, options, ret_error) < 0)
		return -1;
	return open_stdio(sandbox, call, &names, options && options->terminal_owner, ret_error);
}

void sandbox_create(struct sandbox *sandbox, struct ttrpc_call *call,
		    const Task__CreateTaskRequest *request)
{
	struct error *error = NULL;

	if (sandbox->shutting_down) {
		ttrpc_call_fail(call, TTRPC_UNAVAILABLE, "the task server is shutting down");
	} else if (sandbox->init) {
		ttrpc_call_fail(call, TTRPC_ALREADY_EXISTS,
				"container with given ID already exists: %s", sandbox->init->id);
	} else if (strcmp(request->id, sandbox->options.id) != 0) {
		ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT,
				"this task server is for the container %s", sandbox->options.id);
	} else if (request->checkpoint[0]) {
		ttrpc_call_fail(call, TTRPC_UNIMPLEMENTED, "restore is not supported yet");
	} else if (prepare(sandbox, call, request, &error) < 0) {
		sandbox_container_free(sandbox);
		sandbox_fail(call, error);
	} else {
		sandbox->create_call = call;
		sandbox->create_request = request;
		sandbox->create_step = steps;
		sandbox->create_step->run(sandbox);
	}
}
