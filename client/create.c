/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a container: see create.h, and doc/flow.md "run", 1 and 2.
 *
 * Everything that can be refused is refused before the directory is taken, and what
 * takes long and needs no undoing (the layer) is done before; from then on a failure,
 * or a signal, undoes it all (undo()).
 */
#include "client/create.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/process.h"
#include "client/caller.h"
#include "client/delete.h"
#include "client/join.h"
#include "client/server.h"
#include "host/accel.h"
#include "host/cgroup-scope.h"
#include "host/network-options.h"
#include "host/root.h"
#include "host/settings.h"
#include "protocol/sandbox.pb-c.h"
#include "rootfs/image/layer.h"
#include "runtime-spec/cgroup-terms.h"
#include "runtime-spec/machine-options.h"
#include "ttrpc/any.h"

/* How long a server may take to end that has closed its sockets. */
#define END_MS 500
/* Of an image's bundle: an empty directory, as its layers are disks. */
#define IMAGE_ROOT "rootfs"

struct plan {
	char *bundle;	   /* absolute */
	char *rootfs;	   /* absolute */
	char *config;	   /* config.json's text */
	char *config_path; /* absolute; NULL: an image's */
	struct spec *spec;
	struct machine_options machine;
	char **layers;	    /* lowest first; NULL: the root is shared */
	const char *kernel; /* the option's alone: the task server opens an annotation's */
	enum vm_accel accel;
	const char *checkpoint, *work_path; /* the option's */
	const char *cgroup_manager;
	const char *network;  /* the option's, read already */
	const char **publish; /* likewise */
	size_t n_publish;
	bool unpublished; /* the option's */
	struct caller_fds fds;
	char *machine_of;  /* the container whose machine it joins; NULL: none */
	bool is_apart;	   /* nobody holds its terminal, and it has no input but: */
	const char *input; /* struct create_image */
	char *output;	   /* "" or the name of a file, for the Task API */
	struct output_rule output_rule;
};

static void plan_done(struct plan *plan)
{
	free(plan->bundle);
	free(plan->rootfs);
	free(plan->config);
	free(plan->config_path);
	spec_free(plan->spec);
	strv_free(plan->layers);
	free(plan->machine_of);
	free(plan->output);
}
#define _cleanup_plan_ _cleanup_(plan_done)

static int find_bundle(const struct create_options *options, struct plan *plan,
		       struct error **ret_error)
{
	const char *bundle = options->bundle ? options->bundle : ".";
	struct stat st;

	plan->bundle = realpath(bundle, NULL);
	if (!plan->bundle)
		return error_set_errno(ret_error, errno, "bundle %s", bundle);
	if (stat(plan->bundle, &st) < 0 || !S_ISDIR(st.st_mode))
		return error_set(ret_error, ENOTDIR, "bundle %s: not a directory", bundle);
	return 0;
}

/* As crun: "config.json" is the bundle's, any other name one of the caller's. */
static int find_config(const struct create_options *options, struct plan *plan,
		       struct error **ret_error)
{
	const char *name = options->config ? options->config : "config.json";
	struct stat st;

	if (strcmp(name, "config.json") == 0) {
		plan->config_path = xasprintf("%s/%s", plan->bundle, name);
		return 0;
	}
	plan->config_path = realpath(name, NULL);
	if (!plan->config_path || stat(plan->config_path, &st) < 0)
		return error_set_errno(ret_error, errno, "--config %s", name);
	/* The task server reads it again. */
	if (!S_ISREG(st.st_mode))
		return error_set(ret_error, EINVAL, "--config %s: not a regular file", name);
	return 0;
}

static int parse_config(struct plan *plan, size_t size, const char *path, struct error **ret_error)
{
	if (spec_parse(plan->config, size, &plan->spec, ret_error) < 0)
		return error_wrap(ret_error, "%s", path);
	if (!plan->spec->has_process)
		return error_set(ret_error, EINVAL, "%s: process: missing, and required to run",
				 path);
	spec_log_warnings(plan->spec);
	if (getenv("NOTIFY_SOCKET"))
		log_warning(
		    "NOTIFY_SOCKET: a container cannot notify the service manager (sd_notify)");
	return 0;
}

static int load_config(const struct create_options *options, struct plan *plan,
		       struct error **ret_error)
{
	struct stat st;
	size_t size;

	if (find_config(options, plan, ret_error) < 0)
		return -1;
	if (stat(plan->config_path, &st) < 0 && errno == ENOENT)
		return error_set(ret_error, ENOENT,
				 "JSON specification file config.json not found (looked for %s)",
				 plan->config_path);
	if (read_file(plan->config_path, SPEC_SIZE_MAX, &plan->config, &size, ret_error) < 0)
		return -1;
	if (parse_config(plan, size, plan->config_path, ret_error) == 0)
		return 0;
	if (options->bundle || options->config)
		return -1;
	/* Nobody has named it: it may be another program's file. */
	return error_wrap(ret_error, "the current directory has a config.json, and is taken for a "
				     "bundle");
}

/* What is to be made once there is a place for it. */
static int plan_image(const struct client *client, const char *id, const struct create_image *image,
		      struct plan *plan, struct error **ret_error)
{
	plan->bundle = state_path(client->root, id, CREATE_IMAGE_BUNDLE);
	plan->rootfs = xasprintf("%s/" IMAGE_ROOT, plan->bundle);
	plan->config = xstrdup(image->config);
	return parse_config(plan, strlen(plan->config), "the image's container", ret_error);
}

static int plan_bundle(const struct create_options *options, struct plan *plan,
		       struct error **ret_error)
{
	if (find_bundle(options, plan, ret_error) < 0 || load_config(options, plan, ret_error) < 0)
		return -1;
	return root_find(plan->spec, plan->bundle, &plan->rootfs, ret_error);
}

static int find_accel(const struct create_options *options, const struct settings *settings,
		      struct plan *plan, struct error **ret_error)
{
	const struct accel_request request = { .flag = options->accel,
					       .spec = plan->spec,
					       .settings = settings };

	return accel_find(&request, &plan->accel, ret_error);
}

/* A pod's container comes this way too, from CRI-O. */
static int check_annotations(const struct settings *settings, const struct plan *plan,
			     struct error **ret_error)
{
	return allow_check(allow_for(&settings->allow, plan->spec, NULL), plan->spec, ret_error);
}

/* The task server reads them again: here is where an error comes before anything is made. */
static int check_network(const struct create_options *options, struct plan *plan,
			 struct error **ret_error)
{
	_cleanup_network_options_ struct network_options network = { 0 };

	plan->network = options->network;
	plan->publish = options->publish;
	while (plan->publish && plan->publish[plan->n_publish])
		plan->n_publish++;
	return network_options_read(plan->network, plan->publish, plan->n_publish, &network,
				    ret_error);
}

/* As runc: systemd makes it, or nobody does. */
static int check_cgroup_manager(const struct client *client, const struct plan *plan,
				struct error **ret_error)
{
	const char *path = plan->spec->has_linux ? plan->spec->linux_.cgroups_path : NULL;

	if (!client->cgroup_manager || strcmp(client->cgroup_manager, "systemd") != 0)
		return 0;
	if (!cgroup_scope_available())
		return error_set(ret_error, ENOTSUP,
				 "systemd cgroup flag passed, but systemd support for managing "
				 "cgroups is not available");
	if (path && path[0] && !cgroup_terms_is_systemd(path))
		return error_set(ret_error, EINVAL,
				 "expected cgroupsPath to be of format \"slice:prefix:name\" for "
				 "systemd cgroups, got \"%s\" instead",
				 path);
	return 0;
}

static void plan_streams(const struct create_image *image, struct plan *plan)
{
	plan->input = image->input;
	plan->output = image->output ? xasprintf("file://%s", image->output) : xstrdup("");
	plan->output_rule = image->output_rule;
}

static int make_plan(const struct client *client, const struct create_options *options,
		     const char *id, struct plan *plan, struct error **ret_error)
{
	const struct create_image *image = options->image;
	const struct machine_flags flags = { .kernel = options->kernel,
					     .memory = options->memory,
					     .rootfs = image ? ROOTFS_LAYER : options->rootfs,
					     .vcpus = options->vcpus };
	_cleanup_(settings_freep) struct settings *settings = NULL;

	if (caller_find_fds(options->preserve_fds, true, &plan->fds, ret_error) < 0)
		return -1;
	if ((image ? plan_image(client, id, image, plan, ret_error)
		   : plan_bundle(options, plan, ret_error)) < 0)
		return -1;
	plan->is_apart = image && options->detach && !options->console_socket;
	if (plan->is_apart)
		plan_streams(image, plan);
	if (!plan->is_apart && pty_check(plan->spec->process.terminal, options->detach,
					 options->console_socket, ret_error) < 0)
		return -1;
	if (!image && pty_check_own(plan->spec->process.terminal, options->detach, ret_error) < 0)
		return -1;
	if (options->stand_in && !options->checkpoint &&
	    join_find(client->root, plan->spec, &plan->machine_of, ret_error) < 0)
		return -1;
	plan->kernel = options->kernel;
	plan->checkpoint = options->checkpoint;
	plan->work_path = options->work_path;
	plan->cgroup_manager = client->cgroup_manager;
	plan->unpublished = options->unpublished;
	if (settings_load(&settings, ret_error) < 0 ||
	    check_annotations(settings, plan, ret_error) < 0 ||
	    machine_options_find(&flags, plan->spec, &plan->machine, ret_error) < 0 ||
	    check_network(options, plan, ret_error) < 0 ||
	    check_cgroup_manager(client, plan, ret_error) < 0)
		return -1;
	return find_accel(options, settings, plan, ret_error);
}

static int set_cache(const char *cache, struct error **ret_error)
{
	_cleanup_free_ char *path = NULL;

	if (!cache)
		return 0;
	if (make_directories(cache, 0755, ret_error) < 0)
		return -1;
	path = realpath(cache, NULL);
	/* Where paths_cache() looks, the task server's too. */
	if (!path || setenv("SUPERMACHINE_CACHE", path, 1) < 0)
		return error_set_errno(ret_error, errno, "cache directory %s", cache);
	return 0;
}

/* Into plan->layers; none: the root file system is shared as it is. */
static int find_layers(const struct create_image *image, struct plan *plan,
		       struct error **ret_error)
{
	_cleanup_(layer_cache_closep) struct layer_cache *cache = NULL;
	_cleanup_free_ char *directory = paths_cache(), *path = NULL;

	for (size_t i = 0; image && image->layers[i]; i++)
		strv_append(&plan->layers, image->layers[i]);
	if (image || strcmp(plan->machine.rootfs, ROOTFS_LAYER) != 0)
		return 0;
	if (layer_cache_open(directory, &cache, ret_error) < 0 ||
	    layer_cache_get(cache, plan->rootfs, &path, ret_error) < 0)
		return -1;
	strv_append(&plan->layers, path);
	return 0;
}

static int make_bundle(const struct handle *handle, const struct create_image *image,
		       const struct plan *plan, struct error **ret_error)
{
	_cleanup_free_ char *config = xasprintf("%s/config.json", plan->bundle);
	_cleanup_free_ char *directory = state_path(handle->root, handle->id, NULL);

	if (make_directories(plan->rootfs, 0700, ret_error) < 0 ||
	    write_file_atomic(config, image->config, strlen(image->config), 0600, ret_error) < 0)
		return -1;
	return image->prepare ? image->prepare(image->data, directory, handle->cancel_fd, ret_error)
			      : 0;
}

static void fill_state(struct state *state, const struct plan *plan)
{
	state->bundle = xstrdup(plan->bundle);
	state->rootfs = xstrdup(plan->rootfs);
	state->config = xstrdup(plan->config);
	if (state->created_ns == 0)
		state->created_ns = clock_realtime_ns();
	state->machine_of = xstrdup(plan->machine_of);
	state->owner = geteuid();
}

struct layer_mounts {
	Task__Mount *mounts, **pointers;
};

static void layer_mounts_init(struct layer_mounts *mounts, char *const *layers)
{
	static char *const read_only[] = { (char *)"ro" };
	const size_t n = strv_length(layers);

	mounts->mounts = xcalloc(n + 1, sizeof(*mounts->mounts));
	mounts->pointers = xcalloc(n + 1, sizeof(Task__Mount *));
	for (size_t i = 0; i < n; i++) {
		Task__Mount *mount = mounts->pointers[i] = &mounts->mounts[i];

		task__mount__init(mount);
		mount->type = (char *)"squashfs";
		mount->source = layers[i];
		mount->options = (char **)read_only;
		mount->n_options = 1;
	}
}

static void layer_mounts_done(struct layer_mounts *mounts)
{
	free(mounts->mounts);
	free(mounts->pointers);
}

/* Those of its streams that are descriptors, in the order of their names; a terminal of ours is its
 * one stream. */
static void name_streams(const struct plan *plan, const struct pty *pty,
			 Task__CreateTaskRequest *request, int *fds, size_t *ret_n)
{
	static const char *const names[] = { "fd:0", "fd:1", "fd:2" };
	const bool tty = pty->slave >= 0;
	size_t n = 0;

	request->terminal = plan->spec->process.terminal;
	if (plan->is_apart) {
		request->stdin = plan->input ? (char *)plan->input : request->stdin;
		request->stdout = plan->output;
		request->stderr = request->terminal ? request->stderr : plan->output;
		*ret_n = 0;
		return;
	}
	request->stdin = (char *)names[n];
	fds[n++] = tty ? pty->slave : STDIN_FILENO;
	if (!tty) {
		request->stdout = (char *)names[n];
		fds[n++] = STDOUT_FILENO;
	}
	if (!request->terminal) {
		request->stderr = (char *)names[n];
		fds[n++] = STDERR_FILENO;
	}
	*ret_n = n;
}

static void fill_log(const struct plan *plan, Sandbox__OutputLog *log)
{
	sandbox__output_log__init(log);
	log->format = (char *)output_format_name(plan->output_rule.format);
	log->max_size = plan->output_rule.max_size;
	log->max_files = plan->output_rule.max_files;
}

/* Task/Create: the stdio descriptors travel with the request. */
static int call_create(struct handle *handle, const struct plan *plan, const struct pty *pty,
		       struct error **ret_error)
{
	_cleanup_(layer_mounts_done) struct layer_mounts mounts;
	_cleanup_free_ char *oom_file = caller_oom_file(plan->bundle);
	Sandbox__CreateOptions machine = SANDBOX__CREATE_OPTIONS__INIT;
	Sandbox__OutputLog log;
	Task__CreateTaskRequest request = TASK__CREATE_TASK_REQUEST__INIT;
	Task__Any any = TASK__ANY__INIT;
	ProtobufCMessage *response = NULL;
	int result, fds[FD_PASS_MAX];
	struct ttrpc_request call = { .service = TASK_SERVICE,
				      .method = "Create",
				      .message = &request.base,
				      .response = &task__create_task_response__descriptor,
				      .fds = fds };

	layer_mounts_init(&mounts, plan->layers);
	name_streams(plan, pty, &request, fds, &call.n_fds);
	caller_add_fds(&plan->fds, fds, &call.n_fds);
	machine.listen_fds = plan->fds.n_listen;
	machine.config = plan->config_path ? plan->config_path : machine.config;
	machine.kernel = plan->kernel ? (char *)plan->kernel : machine.kernel;
	machine.vcpus = plan->machine.vcpus;
	machine.memory_mib = plan->machine.memory_mib;
	/* Decided: the server has nothing more to say about it. */
	machine.accel = (char *)vm_accel_name(plan->accel);
	machine.root = (char *)plan->machine.rootfs;
	machine.network = plan->network ? (char *)plan->network : machine.network;
	machine.publish = (char **)plan->publish;
	machine.n_publish = plan->n_publish;
	machine.unpublished = plan->unpublished;
	machine.terminal_owner = pty->slave >= 0 && !plan->machine_of;
	if (plan->cgroup_manager)
		machine.cgroup_manager = (char *)plan->cgroup_manager;
	if (plan->output && plan->output[0]) {
		fill_log(plan, &log);
		machine.output = &log;
	}
	if (oom_file)
		machine.oom_file = oom_file;
	machine.work_path = plan->work_path ? (char *)plan->work_path : machine.work_path;
	any_pack(&any, "supermachine.v1.CreateOptions", &machine.base);
	request.id = handle->id;
	request.bundle = handle->state->bundle;
	request.rootfs = mounts.pointers;
	request.n_rootfs = strv_length(plan->layers);
	request.options = &any;
	if (plan->checkpoint)
		request.checkpoint = (char *)plan->checkpoint;
	result = ttrpc_call_sync(handle->server_fd, handle->cancel_fd, &call, &response, ret_error);
	any_done(&any);
	if (result < 0)
		return -1;
	handle->state->pid = (pid_t)((Task__CreateTaskResponse *)response)->pid;
	protobuf_c_message_free_unpacked(response, NULL);
	return process_identify(handle->state->pid, &handle->state->pid_start, ret_error);
}

/* A server that died says why in its log alone, and has said it when its process has ended. */
static int wrap_lost_server(const struct handle *handle, struct error **ret_error)
{
	_cleanup_free_ char *words = NULL;
	_cleanup_close_ int fd = -1;
	struct pollfd ended = { .events = POLLIN };

	if (!ret_error || !*ret_error || (*ret_error)->code != ECONNRESET)
		return -1;
	/* One that answers with that code lives, and has said it all. */
	ended.fd = fd = pidfd_open(handle->state->server_pid, 0);
	if (fd >= 0 && poll(&ended, 1, END_MS) == 0)
		return -1;
	words = server_last_words(handle);
	return error_wrap(ret_error, "the task server ended%s%s", words ? ", saying: " : "",
			  words ? words : "");
}

/* Its own, or that of the machine that it joins. */
static int find_server(struct handle *handle, const struct client *client, struct error **ret_error)
{
	if (!handle->state->machine_of)
		return server_start(handle, client, ret_error);
	handle->server_fd = handle_connect(handle, ret_error);
	return handle->server_fd < 0
		   ? error_wrap(ret_error, "the machine of %s", handle->state->machine_of)
		   : 0;
}

/* The VMM stands for another container. */
static int take_stand_in(const struct create_options *options, struct created *created,
			 struct error **ret_error)
{
	struct state *state = created->handle->state;

	if (options->stand_in(created->handle, created->pty.slave, &state->pid, ret_error) < 0)
		return -1;
	return process_identify(state->pid, &state->pid_start, ret_error);
}

static int build(const struct client *client, const struct create_options *options,
		 const struct plan *plan, struct created *created, struct error **ret_error)
{
	struct handle *handle = created->handle;
	const struct spec_process *process = &plan->spec->process;

	fill_state(handle->state, plan);
	if (options->image && make_bundle(handle, options->image, plan, ret_error) < 0)
		return -1;
	if (state_save(handle->root, handle->state, ret_error) < 0)
		return -1;
	if (process->terminal && !plan->is_apart &&
	    pty_open(&created->pty, process->console_width, process->console_height, ret_error) < 0)
		return -1;
	if (find_server(handle, client, ret_error) < 0)
		return -1;
	if (call_create(handle, plan, &created->pty, ret_error) < 0)
		return wrap_lost_server(handle, ret_error);
	if (plan->machine_of && take_stand_in(options, created, ret_error) < 0)
		return -1;
	close_fdp(&created->pty.slave);
	created->pty.slave = -1;
	caller_close_fds(&plan->fds);
	if (state_save(handle->root, handle->state, ret_error) < 0)
		return -1;
	if (options->console_socket) {
		if (pty_send(&created->pty, options->console_socket, ret_error) < 0)
			return -1;
		pty_close(&created->pty);
	}
	if (interrupts_pending(&created->interrupts))
		return error_set(ret_error, ECANCELED, "interrupted");
	if (caller_write_pid(options->pid_file, handle->state->pid, ret_error) < 0)
		return -1;
	return caller_send_pidfd(options->pidfd_socket, handle->state->pid, ret_error);
}

static void undo(struct created *created)
{
	pty_close(&created->pty);
	handle_reconnect(created->handle);
	/* (Another's machine lives on.) */
	if (created->handle->state->machine_of)
		(void)end_container(created->handle, true, NULL);
	else
		handle_end_processes(created->handle);
	(void)handle_remove(created->handle, NULL);
	handle_free(TAKE_PTR(created->handle));
}

int create_container(const struct client *client, const struct create_options *options,
		     const char *id, struct created *ret_created, struct error **ret_error)
{
	struct created created = { .pty = PTY_NONE, .interrupts = INTERRUPTS_NONE };
	_cleanup_plan_ struct plan plan = { 0 };

	if (state_check_id(id, ret_error) < 0 ||
	    make_plan(client, options, id, &plan, ret_error) < 0 ||
	    set_cache(options->cache, ret_error) < 0 ||
	    find_layers(options->image, &plan, ret_error) < 0 ||
	    interrupts_hold(&created.interrupts, ret_error) < 0 ||
	    handle_new(client->root, id, &created.handle, ret_error) < 0)
		return -1;
	created.handle->cancel_fd = created.interrupts.fd;
	if (build(client, options, &plan, &created, ret_error) < 0) {
		undo(&created);
		interrupts_let_through(&created.interrupts);
		return -1;
	}
	if (options->image && options->image->created)
		options->image->created(options->image->data);
	*ret_created = created;
	return 0;
}

/* The last run's sockets are nobody's. */
static int forget_last_run(struct handle *handle, struct error **ret_error)
{
	static const char *const left[] = { "task.sock", "vsock.sock", "vmm.pid" };
	struct state *state = xcalloc(1, sizeof(*state));

	for (size_t i = 0; i < ARRAY_SIZE(left); i++) {
		_cleanup_free_ char *path = state_path(handle->root, handle->id, left[i]);

		if (unlink(path) < 0 && errno != ENOENT) {
			state_free(state);
			return error_set_errno(ret_error, errno, "cannot remove %s", path);
		}
	}
	state->id = xstrdup(handle->id);
	state->created_ns = handle->state->created_ns;
	state_free(handle->state);
	handle->state = state;
	return 0;
}

int create_container_again(const struct client *client, const struct create_options *options,
			   struct handle *handle, struct created *ret_created,
			   struct error **ret_error)
{
	struct created created = { .handle = handle,
				   .pty = PTY_NONE,
				   .interrupts = INTERRUPTS_NONE };
	_cleanup_plan_ struct plan plan = { 0 };

	if (make_plan(client, options, handle->id, &plan, ret_error) < 0 ||
	    set_cache(options->cache, ret_error) < 0 ||
	    find_layers(options->image, &plan, ret_error) < 0 ||
	    interrupts_hold(&created.interrupts, ret_error) < 0 ||
	    idle_end(handle->root, handle->id, ret_error) < 0 ||
	    end_container(handle, false, ret_error) < 0 || forget_last_run(handle, ret_error) < 0)
		return -1;
	handle->cancel_fd = created.interrupts.fd;
	if (build(client, options, &plan, &created, ret_error) < 0) {
		pty_close(&created.pty);
		handle_reconnect(handle);
		handle_end_processes(handle);
		interrupts_let_through(&created.interrupts);
		return -1;
	}
	if (options->image->created)
		options->image->created(options->image->data);
	*ret_created = created;
	return 0;
}
