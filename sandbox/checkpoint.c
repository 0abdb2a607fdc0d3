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
#include "base/io.h"
#include "base/log.h"
#include "sandbox/checkpoint-layers.h"
#include "sandbox/checkpoint-manifest.h"
#include "sandbox/sandbox.h"
#include "ttrpc/any.h"

/* In the image directory, until all of it is there. */
#define NEW(name) "." name ".new"

struct checkpoint {
	struct container *container;
	struct ttrpc_call *call;
	bool leave_running;
	char *path;
	int dir_fd, state_fd, ram_fd;
	bool made;   /* the directory is ours to remove */
	bool froze;  /* the container, which was not */
	bool paused; /* the machine */
	struct error *error;
};

/* ---- files ---- */

static void discard(struct checkpoint *checkpoint)
{
	if (checkpoint->dir_fd < 0)
		return;
	(void)unlinkat(checkpoint->dir_fd, NEW(MANIFEST_STATE), 0);
	(void)unlinkat(checkpoint->dir_fd, NEW(MANIFEST_RAM), 0);
	(void)unlinkat(checkpoint->dir_fd, NEW(MANIFEST_NAME), 0);
	if (checkpoint->made)
		(void)rmdir(checkpoint->path);
	close_fdp(&checkpoint->dir_fd);
	checkpoint->dir_fd = -1;
}

void checkpoint_free(struct checkpoint *checkpoint)
{
	if (!checkpoint)
		return;
	if (checkpoint->call)
		ttrpc_call_fail(checkpoint->call, TTRPC_UNAVAILABLE, "the container has gone");
	discard(checkpoint);
	close_fdp(&checkpoint->state_fd);
	close_fdp(&checkpoint->ram_fd);
	error_free(checkpoint->error);
	free(checkpoint->path);
	free(checkpoint);
}

/* One that an earlier server has left there goes. */
static int create_file(const struct checkpoint *checkpoint, const char *name, int *ret_fd,
		       struct error **ret_error)
{
	(void)unlinkat(checkpoint->dir_fd, name, 0);
	*ret_fd = openat(checkpoint->dir_fd, name,
			 O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*ret_fd < 0)
		return error_set_errno(ret_error, errno, "cannot make %s/%s", checkpoint->path,
				       name);
	return 0;
}

static int open_files(struct checkpoint *checkpoint, struct error **ret_error)
{
	if (checkpoint->path[0] != '/')
		return error_set(ret_error, EINVAL, "the image path \"%s\" is not an absolute one",
				 checkpoint->path);
	checkpoint->made = mkdir(checkpoint->path, 0700) == 0;
	if (!checkpoint->made && errno != EEXIST)
		return error_set_errno(ret_error, errno, "cannot make the image path %s",
				       checkpoint->path);
	checkpoint->dir_fd = open(checkpoint->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (checkpoint->dir_fd < 0)
		return error_set_errno(ret_error, errno, "the image path %s", checkpoint->path);
	if (create_file(checkpoint, NEW(MANIFEST_STATE), &checkpoint->state_fd, ret_error) < 0)
		return -1;
	return create_file(checkpoint, NEW(MANIFEST_RAM), &checkpoint->ram_fd, ret_error);
}

static int write_manifest(const struct checkpoint *checkpoint,
			  const struct checkpoint_manifest *manifest, struct error **ret_error)
{
	_cleanup_close_ int fd = -1;
	size_t size;
	_cleanup_free_ char *text = checkpoint_manifest_write(manifest, &size);

	if (size > MANIFEST_SIZE_MAX)
		return error_set(ret_error, EFBIG, "the manifest has %zu bytes", size);
	if (create_file(checkpoint, NEW(MANIFEST_NAME), &fd, ret_error) < 0)
		return -1;
	if (write_all(fd, text, size) < 0 || fsync(fd) < 0)
		return error_set_errno(ret_error, errno, "cannot write %s/" MANIFEST_NAME,
				       checkpoint->path);
	return 0;
}

/* In the place of an older one, of which at no moment a part is taken for one: the manifest goes
 * first and comes last. */
static int name_files(const struct checkpoint *checkpoint, struct error **ret_error)
{
	static const char *const names[][2] = {
		{ NEW(MANIFEST_STATE), MANIFEST_STATE },
		{ NEW(MANIFEST_RAM), MANIFEST_RAM },
		{ NEW(MANIFEST_NAME), MANIFEST_NAME },
	};
	const int fd = checkpoint->dir_fd;
	size_t n = 0;

	if (unlinkat(fd, MANIFEST_NAME, 0) < 0 && errno != ENOENT)
		return error_set_errno(ret_error, errno, "cannot replace %s/" MANIFEST_NAME,
				       checkpoint->path);
	while (n < ARRAY_SIZE(names) && renameat(fd, names[n][0], fd, names[n][1]) == 0)
		n++;
	if (n < ARRAY_SIZE(names))
		(void)error_set_errno(ret_error, errno, "cannot make %s/%s", checkpoint->path,
				      names[n][1]);
	else if (fsync(fd) < 0)
		(void)error_set_errno(ret_error, errno, "cannot sync %s", checkpoint->path);
	else
		return 0;
	while (n > 0)
		(void)unlinkat(fd, names[--n][1], 0);
	return -1;
}

/* ---- what it is made of ---- */

static void note_process(struct checkpoint_manifest *manifest, const struct task *task)
{
	struct checkpoint_process *process = checkpoint_manifest_add_process(manifest);

	process->exec_id = xstrdup(task->exec_id);
	process->terminal = task->terminal;
	stdio_save(task->stdio, &process->streams);
}

static int describe(const struct container *container, struct checkpoint_manifest *manifest,
		    struct error **ret_error)
{
	const struct machine_plan *plan = container->sandbox->plan;

	manifest->id = xstrdup(container->guest_id);
	manifest->config = xstrndup(container->config, container->config_size);
	manifest->stage = xstrdup(container->stage);
	manifest->kernel = xstrdup(container->kernel ? container->kernel : "");
	manifest->network = xstrdup(container->network ? container->network : "");
	for (char *const *word = container->publish; word && *word; word++)
		strv_append(&manifest->publish, *word);
	manifest->vcpus = plan->config->vcpus;
	manifest->memory_mib = plan->config->memory_mib;
	manifest->interfaces = plan->n_interfaces;
	manifest->oom_kills = container->oom_kills;
	note_process(manifest, container->init);
	for (const struct task *task = container->execs; task; task = task->next)
		if (task->state == TASK_RUNNING)
			note_process(manifest, task);
	return checkpoint_layers_note(container->plan, manifest, ret_error);
}

static int keep(const struct checkpoint *checkpoint, struct error **ret_error)
{
	_cleanup_(checkpoint_manifest_freep) struct checkpoint_manifest *manifest =
	    checkpoint_manifest_new();

	if (!ttrpc_call_is_open(checkpoint->call))
		return error_set(ret_error, ECANCELED, "nobody waits for the checkpoint any more");
	if (describe(checkpoint->container, manifest, ret_error) < 0 ||
	    write_manifest(checkpoint, manifest, ret_error) < 0)
		return -1;
	return name_files(checkpoint, ret_error);
}

/* ---- the end ---- */

static void finish(struct checkpoint *checkpoint)
{
	struct ttrpc_call *call = TAKE_PTR(checkpoint->call);
	Task__Empty response = TASK__EMPTY__INIT;

	checkpoint->container->checkpoint = NULL;
	if (checkpoint->error) {
		/* A caller that is told may try again at once, in the same place. */
		discard(checkpoint);
		log_debug("checkpoint of %s: %s", checkpoint->container->id,
			  checkpoint->error->message);
		ttrpc_call_fail_error(call, checkpoint->error);
	} else {
		checkpoint->made = false;
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

static void resumed(void *data, const struct error *error)
{
	struct checkpoint *checkpoint = data;

	if (error)
		log_warning("the machine of %s does not go on: %s", checkpoint->container->id,
			    error->message);
	checkpoint->paused = false;
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
	(void)error_set(&checkpoint->error, error->code, "%s%.*s", what, AGENT_TEXT_MAX,
			agent_client_text(error));
	go_on(checkpoint);
}

/* ---- the steps ---- */

static void saved(void *data, const struct error *error)
{
	struct checkpoint *checkpoint = data;
	_cleanup_error_ struct error *failure = NULL;

	if (error) {
		give_up(checkpoint, error, "cannot save the machine: ");
	} else if (keep(checkpoint, &failure) < 0) {
		give_up(checkpoint, failure, "");
	} else if (checkpoint->leave_running) {
		go_on(checkpoint);
	} else {
		end_machine(checkpoint);
	}
}

static void paused(void *data, const struct error *error)
{
	struct checkpoint *checkpoint = data;
	const int fds[] = { checkpoint->state_fd, checkpoint->ram_fd };
	struct sandbox *sandbox = checkpoint->container->sandbox;

	if (error) {
		give_up(checkpoint, error, "cannot pause the machine: ");
		return;
	}
	checkpoint->paused = true;
	vmm_ask(sandbox->vmm, "save", fds, ARRAY_SIZE(fds), saved, checkpoint);
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
	/* A Pause or Resume of the user's that was on its way has come to pass by now. */
	checkpoint->froze = checkpoint->container->init->state != TASK_PAUSED;
	pause_machine(checkpoint);
}

/* ---- the request ---- */

static int refuse(const char *what, struct error **ret_error)
{
	return error_set(ret_error, ENOTSUP, "%s cannot be checkpointed yet", what);
}

/* What the files of a checkpoint would not have, or a restored machine not find again. */
static int check_machine(const struct container *container, struct error **ret_error)
{
	const struct plan_files *files = &container->plan->files;

	if (container->sandbox->plan->config->accel != VM_ACCEL_KVM)
		return error_set(ret_error, ENOTSUP,
				 "container %s runs emulated: checkpoint needs KVM", container->id);
	if (files->n_volumes > 0)
		return refuse("a container with a volume", ret_error);
	if (files->n_sockets > 0)
		return refuse("a container with a unix socket of the host", ret_error);
	if (files->n_published > 0)
		return refuse("a container that publishes a unix socket", ret_error);
	return 0;
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
	if (!sandbox_is_up(sandbox))
		return error_set(ret_error, ECONNRESET, "the guest has ended");
	if (sandbox->kept || sandbox->containers->next || !container->main ||
	    plan_is_pod(container->spec))
		return refuse("a container of a pod", ret_error);
	return check_machine(container, ret_error);
}

/* Without options containerd wants it to run on. */
static bool is_left_running(const Task__Any *any)
{
	_cleanup_(any_message_freep) ProtobufCMessage *ours = any_unpack(
	    any, "supermachine.v1.CheckpointOptions", &sandbox__checkpoint_options__descriptor);
	_cleanup_(any_message_freep) ProtobufCMessage *runcs = any_unpack(
	    any, "containerd.runc.v1.CheckpointOptions", &sandbox__checkpoint_options__descriptor);
	const ProtobufCMessage *message = ours ? ours : runcs;

	return !message || !((const Sandbox__CheckpointOptions *)message)->exit;
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
	checkpoint->path = xstrdup(request->path);
	checkpoint->dir_fd = checkpoint->state_fd = checkpoint->ram_fd = -1;
	checkpoint->leave_running = is_left_running(request->options);
	if (open_files(checkpoint, &error) < 0) {
		checkpoint_free(checkpoint);
		call_fail(call, error);
		return;
	}
	checkpoint->call = call;
	container->checkpoint = checkpoint;
	call_agent(checkpoint, "Pause", frozen);
}
