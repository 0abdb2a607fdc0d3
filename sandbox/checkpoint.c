/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints: see checkpoint.h. */
#include "sandbox/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/io.h"
#include "base/log.h"
#include "base/random.h"
#include "sandbox/checkpoint-files.h"
#include "sandbox/checkpoint-layers.h"
#include "sandbox/checkpoint-memory.h"
#include "sandbox/checkpoint-stats.h"
#include "sandbox/checkpoint-volumes.h"
#include "sandbox/restore.h"
#include "sandbox/sandbox.h"
#include "ttrpc/any.h"

#define WATCH_MS 500

struct checkpoint {
	struct container *container;
	struct ttrpc_call *call;
	bool leave_running, memory_only;
	struct checkpoint_files files;
	struct checkpoint_stats stats;
	int state_fd, ram_fd;
	char *work_path; /* NULL: nobody wants figures */
	char *parent;	 /* its directory, relative to that of the files; NULL: none */
	char *parent_name;
	struct checkpoint_memory past;	      /* the parent's memory */
	struct checkpoint_manifest *manifest; /* once the machine is saved */
	size_t volume;			      /* which is being copied */
	char **copies; /* source, target, source, …: of directories, after those; ends with NULL */
	size_t copied; /* of them */
	struct checkpoint_copy *copy;
	struct source *watch; /* whether somebody waits for it still */
	int disk_fd;	      /* of the copy */
	bool froze;	      /* the container, which was not */
	bool paused;	      /* the machine */
	struct error *error;
};

void checkpoint_free(struct checkpoint *checkpoint)
{
	if (!checkpoint)
		return;
	if (checkpoint->call)
		ttrpc_call_fail(checkpoint->call, TTRPC_UNAVAILABLE, "the container has gone");
	source_clear(&checkpoint->watch);
	checkpoint_copy_free(checkpoint->copy);
	checkpoint_manifest_free(checkpoint->manifest);
	checkpoint_files_done(&checkpoint->files);
	checkpoint_stats_done(&checkpoint->stats);
	close_fdp(&checkpoint->state_fd);
	close_fdp(&checkpoint->ram_fd);
	close_fdp(&checkpoint->disk_fd);
	checkpoint_memory_close(&checkpoint->past);
	free(checkpoint->work_path);
	strv_free(checkpoint->copies);
	free(checkpoint->parent);
	free(checkpoint->parent_name);
	error_free(checkpoint->error);
	free(checkpoint);
}

static int check_parent(const struct checkpoint *checkpoint, const char *path,
			const struct checkpoint_manifest *parent, struct error **ret_error)
{
	const struct machine_plan *plan = checkpoint->container->sandbox->plan;
	const uint64_t memory_mib = plan->config->memory_mib;

	if (parent->memory_mib != memory_mib || parent->room_mib != plan_room_mib(plan))
		return error_set(ret_error, EINVAL,
				 "the parent path %s has %llu MiB of memory, the container %llu",
				 path, (unsigned long long)parent->memory_mib,
				 (unsigned long long)memory_mib);
	if (checkpoint->past.n == CHECKPOINT_CHAIN_MAX)
		return error_set(
		    ret_error, EFBIG,
		    "the parent path %s is the last of %d checkpoints that are parents "
		    "of each other, and no more can be",
		    path, CHECKPOINT_CHAIN_MAX);
	return 0;
}

/* As with CRIU, relative to the image path, so that both can be moved together. */
static int open_parent(struct checkpoint *checkpoint, struct error **ret_error)
{
	const struct checkpoint_files *files = &checkpoint->files;
	_cleanup_(checkpoint_manifest_freep) struct checkpoint_manifest *parent = NULL;
	_cleanup_free_ char *path = xasprintf("%s/%s", files->path, checkpoint->parent);
	_cleanup_close_ int fd = -1;

	if (checkpoint->parent[0] == '/')
		return error_set(ret_error, EINVAL,
				 "the parent path %s is not relative to the image path",
				 checkpoint->parent);
	fd = openat(files->dir_fd, checkpoint->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "the parent path %s", path);
	if (checkpoint_open_manifest(fd, path, &parent, ret_error) < 0 ||
	    checkpoint_memory_open(fd, path, parent, files->dir_fd, &checkpoint->past, ret_error) <
		0)
		return error_wrap(ret_error, "the parent path");
	checkpoint->parent_name = xstrdup(parent->name);
	return check_parent(checkpoint, path, parent, ret_error);
}

static int check_copies(const struct checkpoint *checkpoint, struct error **ret_error)
{
	for (char *const *name = checkpoint->copies; name && *name; name++)
		if ((*name)[0] != '/')
			return error_set(ret_error, EINVAL,
					 "\"%s\" of a copy is not an absolute path", *name);
	return 0;
}

static int open_files(struct checkpoint *checkpoint, const char *path, struct error **ret_error)
{
	struct checkpoint_files *files = &checkpoint->files;

	if (check_copies(checkpoint, ret_error) < 0 ||
	    checkpoint_files_open(path, files, ret_error) < 0 ||
	    (checkpoint->parent && open_parent(checkpoint, ret_error) < 0) ||
	    (!checkpoint->memory_only &&
	     checkpoint_files_make(files, MANIFEST_STATE, &checkpoint->state_fd, ret_error) < 0))
		return -1;
	if (checkpoint_files_make(files, MANIFEST_RAM, &checkpoint->ram_fd, ret_error) < 0)
		return -1;
	return checkpoint_stats_begin(checkpoint->work_path, &checkpoint->stats, ret_error);
}

/* ---- what it is made of ---- */

static void note_process(struct checkpoint_manifest *manifest, const struct task *task)
{
	struct checkpoint_process *process = checkpoint_manifest_add_process(manifest);

	process->exec_id = xstrdup(task->exec_id);
	process->terminal = task->terminal;
	stdio_save(task->stdio, &process->streams);
}

static int name_it(struct checkpoint_manifest *manifest, struct error **ret_error)
{
	uint8_t bytes[MANIFEST_NAME_DIGITS / 2];

	if (random_bytes(bytes, sizeof(bytes), ret_error) < 0)
		return -1;
	manifest->name = hex_encode(bytes, sizeof(bytes));
	return 0;
}

static int describe(const struct checkpoint *checkpoint, struct checkpoint_manifest *manifest,
		    struct error **ret_error)
{
	const struct container *container = checkpoint->container;
	const struct machine_plan *plan = container->sandbox->plan;

	if (name_it(manifest, ret_error) < 0)
		return -1;
	manifest->parent = xstrdup(checkpoint->parent ? checkpoint->parent : "");
	manifest->parent_name = xstrdup(checkpoint->parent_name ? checkpoint->parent_name : "");
	manifest->memory_only = checkpoint->memory_only;
	manifest->id = xstrdup(container->guest_id);
	/* Of one that was restored: what the guest was made of. */
	manifest->config = container->restore ? xstrdup(container->restore->manifest->config)
					      : xstrndup(container->config, container->config_size);
	manifest->stage = xstrdup(container->stage);
	manifest->kernel = xstrdup(container->kernel ? container->kernel : "");
	manifest->network = xstrdup(container->network ? container->network : "");
	for (char *const *word = container->publish; word && *word; word++)
		strv_append(&manifest->publish, *word);
	manifest->vcpus = plan->vcpus;
	manifest->vcpus_now = plan->config->vcpus;
	manifest->max_vcpus = plan->config->max_vcpus;
	manifest->memory_mib = plan->config->memory_mib;
	manifest->memory_limit = container->memory_limit;
	manifest->room_mib = plan_room_mib(plan);
	manifest->grown_mib = plan->grown_mib;
	manifest->interfaces = plan->n_interfaces;
	manifest->oom_kills = container->oom_kills;
	note_process(manifest, container->init);
	for (const struct task *task = container->execs; task; task = task->next)
		if (task->state == TASK_RUNNING)
			note_process(manifest, task);
	if (checkpoint_layers_note(container->plan, manifest, ret_error) < 0)
		return -1;
	return checkpoint_volumes_note(container->sandbox, manifest, ret_error);
}

/* ---- the end ---- */

static void finish(struct checkpoint *checkpoint)
{
	struct ttrpc_call *call = TAKE_PTR(checkpoint->call);
	Task__Empty response = TASK__EMPTY__INIT;

	checkpoint->container->checkpoint = NULL;
	if (checkpoint->error) {
		/* A caller that is told may try again at once, in the same place. */
		checkpoint_files_discard(&checkpoint->files);
		log_debug("checkpoint of %s: %s", checkpoint->container->id,
			  checkpoint->error->message);
		ttrpc_call_fail_error(call, checkpoint->error);
	} else {
		checkpoint->files.made = false;
		checkpoint_stats_dump(&checkpoint->stats, checkpoint->ram_fd,
				      checkpoint->container->sandbox->plan->config->memory_mib);
		ttrpc_call_reply(call, &response.base);
	}
	checkpoint_free(checkpoint);
}

/* As by SIGKILL, which is what CRIU does to the processes that it has saved. */
static void end_machine(struct checkpoint *checkpoint)
{
	struct sandbox *sandbox = checkpoint->container->sandbox;

	sandbox->exit_status = STATUS_KILLED;
	sandbox->exit_signal = SIGKILL;
	finish(checkpoint);
	sandbox_kill(sandbox, "its container was checkpointed");
}

static void go_on(struct checkpoint *checkpoint);

static void thawed(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct checkpoint *checkpoint = data;
	struct task *init = checkpoint->container->init;

	(void)response;
	if (error)
		log_warning("container %s stays frozen: %.*s", init->id, AGENT_TEXT_MAX,
			    agent_client_text(error));
	/* Then that is what it is told to be, and Resume tries again. */
	if (error && init->state == TASK_RUNNING && sandbox_is_up(init->sandbox))
		task_set_state(init, TASK_PAUSED);
	checkpoint->froze = false;
	go_on(checkpoint);
}

/* What stands still for ever is ended: everything that asks for it would wait in vain. */
static void lose_machine(struct checkpoint *checkpoint, const struct error *error)
{
	struct sandbox *sandbox = checkpoint->container->sandbox;
	struct error *failure = checkpoint->error;

	checkpoint->error = NULL;
	(void)error_set(&checkpoint->error, error->code, "%s%s%s: %s",
			failure ? failure->message : "the checkpoint was made",
			failure ? ", and" : ", but", " the machine does not go on", error->message);
	error_free(failure);
	finish(checkpoint);
	sandbox_kill(sandbox, "it did not go on after a checkpoint");
}

static void resumed(void *data, const struct error *error)
{
	struct checkpoint *checkpoint = data;

	checkpoint->paused = false;
	if (error && sandbox_is_up(checkpoint->container->sandbox))
		lose_machine(checkpoint, error);
	else
		go_on(checkpoint);
}

static void call_agent(struct checkpoint *checkpoint, const char *method, ttrpc_reply_fn function)
{
	Agent__ContainerRequest request = AGENT__CONTAINER_REQUEST__INIT;

	request.id = checkpoint->container->guest_id;
	agent_client_call(checkpoint->container->sandbox->agent, method, &request.base,
			  &agent__empty__descriptor, AGENT_TIMEOUT_MS, function, checkpoint);
}

static void hold_input(const struct container *container, bool hold)
{
	stdio_hold(container->init->stdio, hold);
	for (const struct task *task = container->execs; task; task = task->next)
		if (task->stdio)
			stdio_hold(task->stdio, hold);
}

/* The container is as it was before, one step after the other. */
static void go_on(struct checkpoint *checkpoint)
{
	struct sandbox *sandbox = checkpoint->container->sandbox;

	if (checkpoint->paused && sandbox->vmm) {
		vmm_ask(sandbox->vmm, "resume", NULL, 0, resumed, checkpoint);
		return;
	}
	hold_input(checkpoint->container, false);
	if (checkpoint->froze && sandbox_is_up(sandbox))
		call_agent(checkpoint, "Resume", thawed);
	else
		finish(checkpoint);
}

static void give_up(struct checkpoint *checkpoint, const struct error *error, const char *what)
{
	source_clear(&checkpoint->watch);
	(void)error_set(&checkpoint->error, error->code, "%s%.*s", what, AGENT_TEXT_MAX,
			agent_client_text(error));
	go_on(checkpoint);
}

/* ---- the steps ---- */

/* Somebody may have stopped to wait, and the rest would be for nobody. */
static int check_wanted(const struct checkpoint *checkpoint, struct error **ret_error)
{
	return ttrpc_call_is_open(checkpoint->call)
		   ? 0
		   : error_set(ret_error, ECANCELED, "nobody waits for the checkpoint any more");
}

static void keep(struct checkpoint *checkpoint)
{
	_cleanup_error_ struct error *error = NULL;

	source_clear(&checkpoint->watch);
	if (check_wanted(checkpoint, &error) < 0 ||
	    checkpoint_files_finish(&checkpoint->files, checkpoint->manifest, &error) < 0)
		give_up(checkpoint, error, "");
	else if (checkpoint->leave_running)
		go_on(checkpoint);
	else
		end_machine(checkpoint);
}

static void copied(void *data, const struct error *error);
static void tree_copied(void *data, const struct error *error);

/* A copy may take long, and the machine stands still meanwhile. */
static void watch_call(void *data)
{
	struct checkpoint *checkpoint = data;
	_cleanup_error_ struct error *error = NULL;

	checkpoint->watch = NULL;
	if (check_wanted(checkpoint, &error) == 0) {
		checkpoint->watch = loop_add_timer(checkpoint->container->sandbox->loop, WATCH_MS,
						   "caller", watch_call, checkpoint);
		return;
	}
	checkpoint_copy_free(TAKE_PTR(checkpoint->copy));
	give_up(checkpoint, error, "");
}

static int copy_volume(struct checkpoint *checkpoint, struct error **ret_error)
{
	_cleanup_free_ char *name = xasprintf(MANIFEST_DISK, checkpoint->volume);

	if (check_wanted(checkpoint, ret_error) < 0 ||
	    checkpoint_files_make(&checkpoint->files, name, &checkpoint->disk_fd, ret_error) < 0)
		return -1;
	if (checkpoint_volumes_copy(checkpoint->container->sandbox, checkpoint->volume,
				    checkpoint->disk_fd, copied, checkpoint, &checkpoint->copy,
				    ret_error) < 0)
		return -1;
	if (!checkpoint->watch)
		watch_call(checkpoint);
	return 0;
}

static int copy_tree(struct checkpoint *checkpoint, struct error **ret_error)
{
	char *const *names = &checkpoint->copies[checkpoint->copied];

	if (check_wanted(checkpoint, ret_error) < 0)
		return -1;
	if (checkpoint_copy_tree(checkpoint->container->sandbox->loop, names[0], names[1],
				 tree_copied, checkpoint, &checkpoint->copy, ret_error) < 0)
		return -1;
	if (!checkpoint->watch)
		watch_call(checkpoint);
	return 0;
}

/* Those from this one on, and then what is left to do. */
static void copy_trees(struct checkpoint *checkpoint)
{
	_cleanup_error_ struct error *error = NULL;

	if (checkpoint->copied == strv_length(checkpoint->copies))
		keep(checkpoint);
	else if (copy_tree(checkpoint, &error) < 0)
		give_up(checkpoint, error, "");
}

static void tree_copied(void *data, const struct error *error)
{
	struct checkpoint *checkpoint = data;

	checkpoint->copy = NULL;
	checkpoint->copied += 2;
	if (error)
		give_up(checkpoint, error, "");
	else
		copy_trees(checkpoint);
}

/* The volumes from this one on, and then the directories. */
static void copy_volumes(struct checkpoint *checkpoint)
{
	const struct checkpoint_manifest *manifest = checkpoint->manifest;
	_cleanup_error_ struct error *error = NULL;

	while (checkpoint->volume < manifest->n_volumes &&
	       manifest->volumes[checkpoint->volume].readonly)
		checkpoint->volume++;
	if (checkpoint->volume == manifest->n_volumes)
		copy_trees(checkpoint);
	else if (copy_volume(checkpoint, &error) < 0)
		give_up(checkpoint, error, "");
}

static void copied(void *data, const struct error *error)
{
	struct checkpoint *checkpoint = data;

	checkpoint->copy = NULL;
	close_fdp(&checkpoint->disk_fd);
	checkpoint->disk_fd = -1;
	checkpoint->volume++;
	if (error)
		give_up(checkpoint, error, "");
	else
		copy_volumes(checkpoint);
}

static void saved(void *data, const struct error *error)
{
	struct checkpoint *checkpoint = data;
	_cleanup_error_ struct error *failure = NULL;

	checkpoint->manifest = checkpoint_manifest_new();
	checkpoint->stats.saved_ns = clock_monotonic_ns();
	if (error)
		give_up(checkpoint, error, "cannot save the machine: ");
	else if (check_wanted(checkpoint, &failure) < 0 ||
		 describe(checkpoint, checkpoint->manifest, &failure) < 0)
		give_up(checkpoint, failure, "");
	else if (checkpoint->memory_only)
		keep(checkpoint);
	else
		copy_volumes(checkpoint);
}

static void save_machine(struct checkpoint *checkpoint)
{
	int fds[2 + CHECKPOINT_CHAIN_MAX];
	size_t n = 0;

	if (!checkpoint->memory_only)
		fds[n++] = checkpoint->state_fd;
	fds[n++] = checkpoint->ram_fd;
	for (size_t i = 0; i < checkpoint->past.n; i++)
		fds[n++] = checkpoint->past.fds[i];
	vmm_ask(checkpoint->container->sandbox->vmm,
		checkpoint->memory_only ? "save_memory" : "save", fds, n, saved, checkpoint);
}

static void paused(void *data, const struct error *error)
{
	struct checkpoint *checkpoint = data;

	if (error) {
		give_up(checkpoint, error, "cannot pause the machine: ");
		return;
	}
	checkpoint->paused = true;
	save_machine(checkpoint);
}

static void pause_machine(struct checkpoint *checkpoint)
{
	_cleanup_error_ struct error *gone = NULL;
	struct sandbox *sandbox = checkpoint->container->sandbox;

	if (!sandbox_is_up(sandbox)) {
		(void)error_set(&gone, ECONNRESET, "the guest has ended");
		give_up(checkpoint, gone, "");
		return;
	}
	hold_input(checkpoint->container, true);
	vmm_ask(sandbox->vmm, "pause", NULL, 0, paused, checkpoint);
}

static void frozen(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct checkpoint *checkpoint = data;

	(void)response;
	if (error) {
		give_up(checkpoint, error, "cannot freeze the container: ");
		return;
	}
	checkpoint->stats.frozen_ns = clock_monotonic_ns();
	/* A Pause or Resume of the user's that was on its way has come to pass by now. */
	checkpoint->froze = checkpoint->container->init->state != TASK_PAUSED;
	pause_machine(checkpoint);
}

/* ---- the request ---- */

static int refuse(const char *what, const char *why, struct error **ret_error)
{
	return error_set(ret_error, ENOTSUP, "%s cannot be checkpointed: %s", what, why);
}

static int refuse_descriptors(const char *what, struct error **ret_error)
{
	return refuse(what, "what they are on the host cannot be saved", ret_error);
}

/* What the files of a checkpoint would not have, or a restored machine not find again. */
static int check_machine(const struct container *container, struct error **ret_error)
{
	const struct plan_files *files = &container->plan->files;

	if (container->sandbox->plan->config->accel != VM_ACCEL_KVM)
		return error_set(ret_error, ENOTSUP,
				 "container %s runs emulated: checkpoint needs KVM", container->id);
	if (files->n_sockets > 0)
		return refuse("a container with a unix socket of the host",
			      "the program behind it does not come along", ret_error);
	if (files->n_published > 0)
		return refuse("a container that publishes a unix socket",
			      "programs of the host that use it do not come along", ret_error);
	return checkpoint_volumes_check(container->sandbox, ret_error);
}

static bool has_descriptors(const struct task *task)
{
	return task->stdio && stdio_preserved(task->stdio);
}

static int check(const struct container *container, struct error **ret_error)
{
	const struct sandbox *sandbox = container->sandbox;
	const enum container_status status = task_container_status(container->init);

	if ((status != STATUS_RUNNING && status != STATUS_PAUSED) ||
	    container->init->state == TASK_HELD)
		return error_set(ret_error, EBUSY, "cannot checkpoint a container in the %s state",
				 container_status_name(status));
	if (container->checkpoint || container->init->start_call || container->hooks)
		return error_set(ret_error, EBUSY, "container %s is busy: %s", container->id,
				 container->checkpoint ? "it is being checkpointed"
						       : "its start is not over");
	for (const struct task *task = container->execs; task; task = task->next)
		if (task->state == TASK_STARTING)
			return error_set(ret_error, EBUSY, "process %s is being started",
					 task->exec_id);
		else if (has_descriptors(task))
			return refuse_descriptors("a process with descriptors beside stdio",
						  ret_error);
	if (!sandbox_is_up(sandbox))
		return error_set(ret_error, ECONNRESET, "the guest has ended");
	if (sandbox->kept || sandbox->containers->next || !container->main ||
	    plan_is_pod(container->spec))
		return refuse("a container of a pod, or one that others have joined,",
			      "the machine is saved as a whole, and has others in it", ret_error);
	if (has_descriptors(container->init))
		return refuse_descriptors("a container with descriptors beside stdio", ret_error);
	return check_machine(container, ret_error);
}

/* Without options containerd wants it to run on. */
static void read_options(const Task__Any *any, struct checkpoint *checkpoint)
{
	const Sandbox__CheckpointOptions *options;
	_cleanup_(any_message_freep) ProtobufCMessage *ours = any_unpack(
	    any, "supermachine.v1.CheckpointOptions", &sandbox__checkpoint_options__descriptor);
	_cleanup_(any_message_freep) ProtobufCMessage *runcs = any_unpack(
	    any, "containerd.runc.v1.CheckpointOptions", &sandbox__checkpoint_options__descriptor);

	options = (const Sandbox__CheckpointOptions *)(ours ? ours : runcs);
	checkpoint->memory_only = options && options->pre_dump;
	checkpoint->leave_running = !options || !options->exit || checkpoint->memory_only;
	if (options && options->parent_path[0])
		checkpoint->parent = xstrdup(options->parent_path);
	if (options && options->work_path[0])
		checkpoint->work_path = xstrdup(options->work_path);
	for (size_t i = 0; ours && i < options->n_copies; i++) {
		strv_append(&checkpoint->copies, options->copies[i]->source);
		strv_append(&checkpoint->copies, options->copies[i]->target);
	}
}

void container_checkpoint(struct container *container, struct ttrpc_call *call,
			  const Task__CheckpointTaskRequest *request)
{
	struct checkpoint *checkpoint;
	struct error *error = NULL;

	if (check(container, &error) < 0) {
		call_fail(call, error);
		return;
	}
	checkpoint = xcalloc(1, sizeof(*checkpoint));
	checkpoint->container = container;
	checkpoint->state_fd = checkpoint->ram_fd = checkpoint->disk_fd = -1;
	checkpoint->stats.work_fd = checkpoint->files.dir_fd = -1;
	read_options(request->options, checkpoint);
	if (open_files(checkpoint, request->path, &error) < 0) {
		checkpoint_free(checkpoint);
		call_fail(call, error);
		return;
	}
	checkpoint->call = call;
	container->checkpoint = checkpoint;
	/* (What is written to the memory meanwhile is in the checkpoint that comes after.) */
	if (checkpoint->memory_only)
		save_machine(checkpoint);
	else
		call_agent(checkpoint, "Pause", frozen);
}
