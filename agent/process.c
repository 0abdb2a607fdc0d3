/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that the host asked for: see process.h. */
#include "agent/process.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/channel.h"
#include "agent/container.h"
#include "agent/setup.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

static const char *const state_names[] = {
	[PROCESS_SETTING_UP] = "setting up", [PROCESS_CREATED] = "created",
	[PROCESS_STARTING] = "starting",     [PROCESS_RUNNING] = "running",
	[PROCESS_STOPPED] = "stopped",
};

static void set_state(struct process *process, enum process_state state)
{
	assert(state > process->state);
	log_debug("%s/%s: %s -> %s", process->container->id, process->exec_id,
		  state_names[process->state], state_names[state]);
	process->state = state;
}

struct process *process_new(struct agent_container *container, const char *exec_id,
			    struct spec_process *own_spec)
{
	struct process *process = xcalloc(1, sizeof(*process));

	process->container = container;
	process->exec_id = xstrdup(exec_id);
	process->own_spec = own_spec;
	process->spec = own_spec ? own_spec : &container->spec->process;
	process->pidfd = process->channel_fd = -1;
	return process;
}

static void close_channel(struct process *process)
{
	source_clear(&process->channel_source);
	close_fdp(&process->channel_fd);
	process->channel_fd = -1;
}

void process_free(struct process *process)
{
	if (!process)
		return;
	calls_fail(&process->waiters, TTRPC_NOT_FOUND, "the process was deleted");
	close_channel(process);
	close_fdp(&process->pidfd);
	streams_free(process->streams);
	descriptors_free(process->descriptors);
	error_free(process->error);
	spec_process_free(process->own_spec);
	free(process->exec_id);
	free(process);
}

static void reply_pid(struct process *process)
{
	Agent__CreateResponse created = AGENT__CREATE_RESPONSE__INIT;
	Agent__ExecResponse executed = AGENT__EXEC_RESPONSE__INIT;
	struct ttrpc_call *call = TAKE_PTR(process->call);

	created.pid = executed.pid = (uint32_t)process->pid;
	if (call)
		ttrpc_call_reply(call, process_is_init(process) ? &created.base : &executed.base);
}

static void reply_empty(struct process *process)
{
	Agent__Empty empty = AGENT__EMPTY__INIT;
	struct ttrpc_call *call = TAKE_PTR(process->call);

	if (call)
		ttrpc_call_reply(call, &empty.base);
}

/* Keeps the first reason; the rest happens when the child has been reaped. */
static void keep_error(struct process *process, struct error *error)
{
	if (process->error)
		error_free(error);
	else
		process->error = error;
}

static void give_up(struct process *process, struct error *error)
{
	keep_error(process, error);
	(void)pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
}

/* The child goes on as another process, in a user namespace that wants maps. */
static int adopt_process(struct process *process, pid_t pid, struct error **ret_error)
{
	int pidfd = pidfd_open(pid, 0);

	if (pidfd < 0)
		return error_set_errno(ret_error, errno, "cannot find process %d", (int)pid);
	close_fdp(&process->pidfd);
	process->pidfd = pidfd;
	process->pid = pid;
	if (setup_map_ids(process->container->spec, pid, ret_error) < 0)
		return -1;
	return channel_send(process->channel_fd, CHANNEL_MAPPED, 0, NULL, -1, ret_error);
}

static int handle_ready(struct process *process, struct error **ret_error)
{
	const struct spec *spec = process->container->spec;

	if (!process_is_init(process) || process->state != PROCESS_SETTING_UP)
		return error_set(ret_error, EPROTO, "unexpected message from the setup process");
	/* Only now: the layers' disks are not the container's to open. */
	if (cgroup_set_devices(process->container->cgroup,
			       spec->linux_.has_resources ? &spec->linux_.resources : NULL,
			       ret_error) < 0)
		return -1;
	set_state(process, PROCESS_CREATED);
	reply_pid(process);
	return 0;
}

static int keep_part(const struct process *process, uint32_t type, int fd, struct error **ret_error)
{
	struct root_parts *parts = &process->container->parts;
	int *part = type == CHANNEL_UPPER ? &parts->upper_fd : &parts->merged_fd;

	if (fd < 0 || !process_is_init(process) || *part >= 0) {
		close_fdp(&fd);
		return error_set(ret_error, EPROTO, "unexpected message from the setup process");
	}
	*part = fd;
	return 0;
}

static int handle_message(struct process *process, const struct channel_message *message, int fd,
			  struct error **ret_error)
{
	struct error *error = NULL;

	switch (message->type) {
	case CHANNEL_ERROR: /* it exits by itself */
		(void)error_set(&error, message->code > 0 ? message->code : EIO, "%s",
				message->text);
		keep_error(process, error);
		break;
	case CHANNEL_TERMINAL:
		if (fd < 0)
			return error_set(ret_error, EPROTO, "the setup sent no terminal");
		return streams_set_terminal(process->streams, fd, ret_error);
	case CHANNEL_UPPER:
	case CHANNEL_MERGED:
		return keep_part(process, message->type, fd, ret_error);
	case CHANNEL_PROCESS:
		return adopt_process(process, message->code, ret_error);
	case CHANNEL_READY:
		return handle_ready(process, ret_error);
	default:
		return error_set(ret_error, EPROTO, "unexpected message from the setup process");
	}
	if (fd >= 0)
		(void)close(fd);
	return 0;
}

/* The child's end is gone: it has executed its program, or it is dying. */
static void channel_ended(struct process *process)
{
	close_channel(process);
	if (process->error || process->state == PROCESS_RUNNING)
		return;
	if (process->state == PROCESS_STARTING) {
		set_state(process, PROCESS_RUNNING);
		reply_empty(process);
	} else if (process->state == PROCESS_SETTING_UP && !process_is_init(process)) {
		set_state(process, PROCESS_RUNNING);
		reply_pid(process);
	}
}

void process_read_channel(struct process *process)
{
	while (process->channel_fd >= 0) {
		struct channel_message message;
		struct error *error = NULL;
		int fd = -1;
		int result = channel_receive(process->channel_fd, &message, &fd, &error);

		if (result < 0 && error->code == EAGAIN) {
			error_free(error);
			return;
		}
		if (result == 0) {
			channel_ended(process);
			return;
		}
		if (result < 0 || handle_message(process, &message, fd, &error) < 0)
			give_up(process, error);
	}
}

static void on_channel(void *data, uint32_t events)
{
	(void)events;
	process_read_channel(data);
}

/* As runc: where init has moved to a cgroup below, to turn controllers on for those there, the
 * container's own can have no process. */
static int spawn_beside_init(struct process *process, const struct setup *setup,
			     struct error **ret_error)
{
	const struct agent_container *container = process->container;
	_cleanup_close_ int fd = -1;

	if (cgroup_open_of(container->cgroup, container->agent->config.cgroup_root,
			   container->init->pid, &fd, ret_error) < 0)
		return -1;
	return setup_spawn(setup, fd, &process->pid, &process->pidfd, ret_error);
}

/* Of the container's cgroup: SPEC_TOOL_CHANGES. */
static bool is_outside(const struct process *process)
{
	return !process_is_init(process) && process->spec->tool &&
	       strcmp(process->spec->tool, SPEC_TOOL_CHANGES) == 0;
}

static int spawn_in_cgroup(struct process *process, const struct setup *setup,
			   struct error **ret_error)
{
	const struct cgroup *cgroup = process->container->cgroup;
	_cleanup_error_ struct error *error = NULL;
	_cleanup_close_ int fd = -1;

	if (is_outside(process))
		return setup_spawn(setup, -1, &process->pid, &process->pidfd, ret_error);
	if (process->spec->cgroup) {
		if (cgroup_open_below(cgroup, process->spec->cgroup, &fd, ret_error) < 0)
			return -1;
		return setup_spawn(setup, fd, &process->pid, &process->pidfd, ret_error);
	}
	if (setup_spawn(setup, cgroup->fd, &process->pid, &process->pidfd, &error) == 0)
		return 0;
	if (error->code == EBUSY && !process_is_init(process))
		return spawn_beside_init(process, setup, ret_error);
	*ret_error = TAKE_PTR(error);
	return -1;
}

static int spawn(struct process *process, struct setup *setup, struct error **ret_error)
{
	struct agent_container *container = process->container;
	_cleanup_close_ int child_channel_fd = -1;

	if (channel_pair(&process->channel_fd, &child_channel_fd, ret_error) < 0 ||
	    loop_add_io(container->agent->loop, process->channel_fd, EPOLLIN, "setup channel",
			on_channel, process, &process->channel_source, ret_error) < 0)
		return -1;
	setup->channel_fd = child_channel_fd;
	return spawn_in_cgroup(process, setup, ret_error);
}

static int open_descriptors(struct process *process, const struct process_request *request,
			    struct setup *setup, struct error **ret_error)
{
	const struct agent *agent = process->container->agent;

	if (request->listen_fds > request->n_descriptors)
		return error_set(ret_error, EINVAL, "LISTEN_FDS of descriptors that are not there");
	if (streams_new(agent->loop, agent->stdio, &request->ports, process->spec->terminal,
			&process->streams, setup->stdio, ret_error) < 0)
		return -1;
	if (descriptors_new(agent->loop, agent->stdio, request->descriptors, request->n_descriptors,
			    &process->descriptors, setup->extra, ret_error) < 0) {
		for (int i = 0; i < 3; i++)
			(void)close(setup->stdio[i]);
		return -1;
	}
	setup->n_extra = request->n_descriptors;
	setup->listen_fds = request->listen_fds;
	return 0;
}

int process_start_setup(struct process *process, const struct process_request *request,
			struct ttrpc_call *call, struct error **ret_error)
{
	struct agent_container *container = process->container;
	struct setup setup = {
		.config = &container->agent->config,
		.id = container->id,
		.bundle = container->bundle,
		.annotations = container->annotations,
		.n_annotations = container->n_annotations,
		.spec = container->spec,
		.process = process->spec,
		.files = container->files,
		.filter = container->filter,
		.exec = !process_is_init(process),
		.init_pidfd = process_is_init(process) ? (request->join ? request->join->pidfd : -1)
						       : container->init->pidfd,
		.join_flags = request->join_flags,
		.network_fd = request->network_fd,
		.width = request->width,
		.height = request->height,
		.parts = ROOT_PARTS_NONE,
	};
	int result;

	if (is_outside(process)) {
		setup.parts = container->parts;
		if (setup.parts.upper_fd < 0 || setup.parts.merged_fd < 0)
			return error_set(ret_error, ENOTSUP,
					 "the root of this container is not made of layers");
	}
	if (open_descriptors(process, request, &setup, ret_error) < 0)
		return -1;
	result = spawn(process, &setup, ret_error);
	for (int i = 0; i < 3; i++)
		(void)close(setup.stdio[i]);
	for (size_t i = 0; i < setup.n_extra; i++)
		(void)close(setup.extra[i]);
	if (result == 0)
		process->call = call;
	return result;
}

int process_go(struct process *process, struct ttrpc_call *call, struct error **ret_error)
{
	if (process->state != PROCESS_CREATED)
		return error_set(ret_error, EBUSY, "cannot start a container that has %s",
				 process->state == PROCESS_STOPPED ? "stopped" : "already started");
	if (channel_send(process->channel_fd, CHANNEL_GO, 0, NULL, -1, ret_error) < 0)
		return -1;
	set_state(process, PROCESS_STARTING);
	process->call = call;
	return 0;
}

int process_signal(const struct process *process, uint32_t signal, struct error **ret_error)
{
	if (signal >= NSIG)
		return error_set(ret_error, EINVAL, "%u is not a signal", signal);
	if (process->state == PROCESS_STOPPED)
		return error_set(ret_error, ENOENT, "process already finished");
	if (pidfd_send_signal(process->pidfd, (int)signal, NULL, 0) < 0)
		return error_set_errno(ret_error, errno, "cannot send signal %u", signal);
	return 0;
}

static void fill_wait_response(const struct process *process, Agent__WaitResponse *response)
{
	agent__wait_response__init(response);
	response->code = process->code;
	response->signal = process->signal;
	response->oom_killed = process->oom_killed;
	response->realtime_ns = process->exited_ns;
}

void process_wait(struct process *process, struct ttrpc_call *call)
{
	Agent__WaitResponse response;

	if (process->state != PROCESS_STOPPED) {
		calls_add(&process->waiters, call);
		return;
	}
	fill_wait_response(process, &response);
	ttrpc_call_reply(call, &response.base);
}

bool process_exited(struct process *process, int status)
{
	bool was_set_up = process->state != PROCESS_SETTING_UP;
	/* The channel's end may come later: another process of the setup's may have a copy yet. Who
	 * fails before its program runs says so there, or is killed. */
	bool ran = process->state == PROCESS_STARTING && !process->error && WIFEXITED(status);
	Agent__Empty empty = AGENT__EMPTY__INIT;
	Agent__WaitResponse response;
	struct ttrpc_call *call;

	process->signal = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0;
	process->code = process->signal ? 128 + process->signal : (uint32_t)WEXITSTATUS(status);
	process->exited_ns = clock_realtime_ns();
	process->oom_killed = process->signal == SIGKILL && oom_count(process->container) > 0;
	set_state(process, PROCESS_STOPPED);
	close_channel(process);
	streams_close_input(process->streams);
	if (!was_set_up)
		return false;
	oom_check(process->container);
	/* As containerd's shim does: what init leaves behind in a pid namespace that is
	 * not its own ends with it, too. */
	if (process_is_init(process)) {
		root_parts_close(&process->container->parts);
		(void)cgroup_kill(process->container->cgroup, NULL);
	}
	call = TAKE_PTR(process->call);
	if (call && process->error) /* a Start whose hooks or execve failed */
		ttrpc_call_fail_error(call, process->error);
	else if (call && ran)
		ttrpc_call_reply(call, &empty.base);
	else if (call)
		ttrpc_call_fail(call, TTRPC_UNKNOWN, "the process has ended with exit code %u",
				process->code);
	fill_wait_response(process, &response);
	calls_reply(&process->waiters, &response.base);
	return true;
}
