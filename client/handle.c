/* SPDX-License-Identifier: Apache-2.0 */
/* A container's directory, lock and processes: see handle.h. */
#include "client/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/process.h"
#include "host/cgroup-place.h"

#define LOCK_PATIENCE_MS 5000
#define END_PATIENCE_MS 5000

static struct handle *handle_alloc(const char *root, const char *id)
{
	struct handle *handle = xcalloc(1, sizeof(*handle));

	handle->root = xstrdup(root);
	handle->id = xstrdup(id);
	handle->lock_fd = handle->server_fd = handle->cancel_fd = -1;
	return handle;
}

void handle_free(struct handle *handle)
{
	if (!handle)
		return;
	close_fdp(&handle->server_fd);
	close_fdp(&handle->lock_fd);
	state_free(handle->state);
	free(handle->root);
	free(handle->id);
	free(handle);
}

/* Says nothing about what was to be looked at. */
static bool is_shortage(int code)
{
	return code == EMFILE || code == ENFILE || code == ENOMEM || code == ENOBUFS || code == EIO;
}

static int does_not_exist(const char *id, struct error **ret_error)
{
	return error_set(ret_error, ENOENT, "container does not exist: %s", id);
}

/* 0: locked; EWOULDBLOCK after patience_ms; ENOENT: the container went meanwhile. */
static int take_lock(struct handle *handle, int flags, uint64_t patience_ms)
{
	_cleanup_free_ char *path = state_path(handle->root, handle->id, "lock");
	const uint64_t deadline = clock_monotonic_ns() + patience_ms * 1000000;
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	struct stat held, named;

	if (fd < 0)
		return errno;
	while (flock(fd, patience_ms == UINT64_MAX ? LOCK_EX : LOCK_EX | LOCK_NB) < 0) {
		if (errno != EINTR && errno != EWOULDBLOCK)
			return errno;
		if (errno == EWOULDBLOCK && clock_monotonic_ns() >= deadline)
			return EWOULDBLOCK;
		if (errno == EWOULDBLOCK)
			(void)poll(NULL, 0, 20);
	}
	/* Its holder may have been `delete`: then this is the lock of nothing. */
	if (fstat(fd, &held) < 0 || stat(path, &named) < 0)
		return errno;
	if (held.st_ino != named.st_ino || held.st_dev != named.st_dev)
		return ENOENT;
	handle->lock_fd = TAKE_FD(fd);
	return 0;
}

int handle_connect(const struct handle *handle, struct error **ret_error)
{
	const struct state *state = handle->state;
	_cleanup_free_ char *path = state_path(
	    handle->root, state && state->machine_of ? state->machine_of : handle->id, "task.sock");

	return unix_connect(path, ret_error);
}

/* That nobody listens is not an error: there is no server.  That it cannot be known is one: else a
 * caller who is short of descriptors would take every container for stopped. */
static int look_for_server(struct handle *handle, struct error **ret_error)
{
	_cleanup_error_ struct error *error = NULL;
	int fd = handle_connect(handle, &error);

	if (fd < 0 && is_shortage(error->code))
		return error_set(ret_error, error->code, "%s", error->message);
	close_fdp(&handle->server_fd);
	handle->server_fd = fd;
	return 0;
}

void handle_reconnect(struct handle *handle)
{
	close_fdp(&handle->server_fd);
	handle->server_fd = handle_connect(handle, NULL);
	handle->cancel_fd = -1;
}

int handle_open(const char *root, const char *id, struct handle **ret_handle,
		struct error **ret_error)
{
	_cleanup_(handle_freep) struct handle *handle = handle_alloc(root, id);

	if (state_load(root, id, &handle->state, ret_error) < 0 ||
	    look_for_server(handle, ret_error) < 0)
		return -1;
	*ret_handle = TAKE_PTR(handle);
	return 0;
}

int handle_open_locked(const char *root, const char *id, struct handle **ret_handle,
		       struct error **ret_error)
{
	_cleanup_(handle_freep) struct handle *first = NULL;
	_cleanup_(handle_freep) struct handle *handle = NULL;
	int code;

	/* The state is read again under the lock. */
	if (handle_open(root, id, &first, ret_error) < 0)
		return -1;
	code = take_lock(first, 0, UINT64_MAX);
	if (code == ENOENT)
		return does_not_exist(id, ret_error);
	if (code != 0)
		return error_set_errno(ret_error, code, "cannot lock the container %s", id);
	if (handle_open(root, id, &handle, ret_error) < 0)
		return -1;
	handle->lock_fd = TAKE_FD(first->lock_fd);
	*ret_handle = TAKE_PTR(handle);
	return 0;
}

static void kill_processes(const struct handle *handle)
{
	_cleanup_free_ char *vmm = state_path(handle->root, handle->id, "vmm.pid");

	if (!handle->state)
		return;
	process_kill(handle->state->server_pid, handle->state->server_start, END_PATIENCE_MS);
	process_kill(handle->state->pid, handle->state->pid_start, END_PATIENCE_MS);
	/* The state has the VMM's pid when Create has answered; its note is there before. */
	(void)process_kill_noted(vmm, END_PATIENCE_MS);
}

/* A state that is not there or makes no sense is what a container that was never made has.  One
 * that cannot be read now may name processes, which would be left without a trace. */
static int reload(struct handle *handle, struct error **ret_error)
{
	_cleanup_error_ struct error *error = NULL;
	struct state *state;

	if (state_load(handle->root, handle->id, &state, &error) < 0) {
		if (!is_shortage(error->code))
			return 0;
		return error_set(ret_error, error->code, "%s", error->message);
	}
	state_free(handle->state);
	handle->state = state;
	return look_for_server(handle, ret_error);
}

int handle_open_leftovers(const char *root, const char *id, struct handle **ret_handle,
			  struct error **ret_error)
{
	_cleanup_(handle_freep) struct handle *handle = handle_alloc(root, id);
	_cleanup_free_ char *directory = state_path(root, id, NULL);
	struct stat st;
	int code;

	if (state_check_id(id, ret_error) < 0)
		return -1;
	if (lstat(directory, &st) < 0)
		return is_shortage(errno)
			   ? error_set_errno(ret_error, errno, "cannot look at %s", directory)
			   : does_not_exist(id, ret_error);
	if (!S_ISDIR(st.st_mode))
		return does_not_exist(id, ret_error);
	code = take_lock(handle, O_CREAT, LOCK_PATIENCE_MS);
	if (code == EWOULDBLOCK) {
		/* A verb waits for something that does not come. */
		if (reload(handle, ret_error) < 0)
			return -1;
		kill_processes(handle);
		code = take_lock(handle, O_CREAT, LOCK_PATIENCE_MS);
	}
	if (code == ENOENT)
		return does_not_exist(id, ret_error);
	if (code != 0)
		return error_set_errno(ret_error, code, "cannot lock the container %s", id);
	if (reload(handle, ret_error) < 0)
		return -1;
	*ret_handle = TAKE_PTR(handle);
	return 0;
}

/* How old a directory without a state is that nobody is about to fill. */
#define UNBORN_NS NS_PER_SECOND
/* What a verb that was killed at its beginning has left has a name and nothing else. */
static bool drop_unborn(const char *root, const char *id)
{
	_cleanup_(handle_freep) struct handle *handle = handle_alloc(root, id);
	_cleanup_free_ char *directory = state_path(root, id, NULL);
	_cleanup_free_ char *state = state_path(root, id, "state.json");
	struct stat st;

	if (lstat(directory, &st) < 0 || !S_ISDIR(st.st_mode) ||
	    (uint64_t)st.st_mtim.tv_sec * NS_PER_SECOND + UNBORN_NS > clock_realtime_ns() ||
	    access(state, F_OK) == 0 || errno != ENOENT || take_lock(handle, O_CREAT, 0) != 0)
		return false;
	return access(state, F_OK) < 0 && handle_remove(handle, NULL) == 0;
}

static int make_new(const char *root, const char *id, bool tried_again, struct handle **ret_handle,
		    struct error **ret_error)
{
	_cleanup_(handle_freep) struct handle *handle = handle_alloc(root, id);
	_cleanup_free_ char *directory = state_path(root, id, NULL);
	int code;

	if (state_check_id(id, ret_error) < 0 || make_directories(root, 0700, ret_error) < 0)
		return -1;
	/* mkdir() picks the one winner. */
	if (mkdir(directory, 0700) < 0) {
		if (errno == EEXIST && !tried_again && drop_unborn(root, id))
			return make_new(root, id, true, ret_handle, ret_error);
		if (errno == EEXIST)
			return error_set(ret_error, EEXIST,
					 "container with given ID already exists");
		return error_set_errno(ret_error, errno, "cannot make %s", directory);
	}
	code = take_lock(handle, O_CREAT, 0);
	/* Another's delete --force stepped in between, or a create that took ours for one that was
	 * killed: theirs now. */
	if ((code == ENOENT || code == EWOULDBLOCK) && !tried_again)
		return make_new(root, id, true, ret_handle, ret_error);
	if (code == ENOENT || code == EWOULDBLOCK)
		return error_set_errno(ret_error, code, "container %s was deleted while being made",
				       id);
	if (code != 0) {
		(void)handle_remove(handle, NULL);
		return error_set_errno(ret_error, code, "cannot lock the container %s", id);
	}
	handle->state = xcalloc(1, sizeof(*handle->state));
	handle->state->id = xstrdup(id);
	*ret_handle = TAKE_PTR(handle);
	return 0;
}

int handle_new(const char *root, const char *id, struct handle **ret_handle,
	       struct error **ret_error)
{
	return make_new(root, id, false, ret_handle, ret_error);
}

int handle_call(const struct handle *handle, const char *method, const ProtobufCMessage *request,
		const ProtobufCMessageDescriptor *response, uint64_t timeout_ms,
		ProtobufCMessage **ret_response, struct error **ret_error)
{
	ProtobufCMessage *message = NULL;
	const struct ttrpc_request call = { .service = TASK_SERVICE,
					    .method = method,
					    .message = request,
					    .response = response,
					    .timeout_ms = timeout_ms };

	if (handle->server_fd < 0)
		return error_set(ret_error, ECONNRESET, "the task server of container %s is gone",
				 handle->id);
	if (ttrpc_call_sync(handle->server_fd, handle->cancel_fd, &call, &message, ret_error) < 0)
		return -1;
	if (ret_response)
		*ret_response = message;
	else
		protobuf_c_message_free_unpacked(message, NULL);
	return 0;
}

/* Before Create has answered there is no pid. Who creates holds the lock. */
static enum container_status status_without_task(const struct handle *handle)
{
	_cleanup_free_ char *path = state_path(handle->root, handle->id, "lock");
	_cleanup_close_ int fd = -1;

	if (handle->state->pid != 0 || handle->lock_fd >= 0)
		return STATUS_STOPPED;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return STATUS_CREATING;
	return STATUS_STOPPED;
}

int handle_status(const struct handle *handle, enum container_status *ret_status,
		  struct error **ret_error)
{
	static const enum container_status statuses[] = {
		[TASK__STATUS__UNKNOWN] = STATUS_CREATING, [TASK__STATUS__CREATED] = STATUS_CREATED,
		[TASK__STATUS__RUNNING] = STATUS_RUNNING,  [TASK__STATUS__STOPPED] = STATUS_STOPPED,
		[TASK__STATUS__PAUSED] = STATUS_PAUSED,	   [TASK__STATUS__PAUSING] = STATUS_PAUSED,
	};
	Task__StateRequest request = TASK__STATE_REQUEST__INIT;
	ProtobufCMessage *message = NULL;
	_cleanup_error_ struct error *error = NULL;
	unsigned status;

	request.id = handle->id;
	if (handle_call(handle, "State", &request.base, &task__state_response__descriptor,
			CALL_TIMEOUT_MS, &message, &error) < 0) {
		if (error->code != ECONNRESET && error->code != ENOENT)
			return error_set(ret_error, error->code,
					 "cannot get the state of container %s: %s", handle->id,
					 error->message);
		*ret_status = status_without_task(handle);
		return 0;
	}
	status = ((Task__StateResponse *)message)->status;
	/* `create` has not yet written it down. */
	if (handle->state->pid == 0)
		handle->state->pid = (pid_t)((Task__StateResponse *)message)->pid;
	*ret_status = status < ARRAY_SIZE(statuses) ? statuses[status] : STATUS_STOPPED;
	protobuf_c_message_free_unpacked(message, NULL);
	return 0;
}

int handle_wait(const struct handle *handle, uint32_t *ret_exit_status, uint64_t *ret_ended_s,
		struct error **ret_error)
{
	Task__WaitRequest request = TASK__WAIT_REQUEST__INIT;
	const Task__WaitResponse *response;
	ProtobufCMessage *message = NULL;

	request.id = handle->id;
	if (handle_call(handle, "Wait", &request.base, &task__wait_response__descriptor, 0,
			&message, ret_error) < 0)
		return -1;
	response = (const Task__WaitResponse *)message;
	*ret_exit_status = response->exit_status;
	if (ret_ended_s)
		*ret_ended_s = response->exited_at && response->exited_at->seconds > 0
				   ? (uint64_t)response->exited_at->seconds
				   : 0;
	protobuf_c_message_free_unpacked(message, NULL);
	return 0;
}

/* What stands for it in another's machine ends by itself when it has ended. */
static void end_stand_in(const struct handle *handle)
{
	_cleanup_close_ int fd = pidfd_open(handle->state->pid, 0);
	struct pollfd ended = { .fd = fd, .events = POLLIN };

	if (fd >= 0 && process_start_time(handle->state->pid) == handle->state->pid_start)
		(void)poll(&ended, 1, END_PATIENCE_MS);
	process_kill(handle->state->pid, handle->state->pid_start, END_PATIENCE_MS);
}

void handle_end_processes(struct handle *handle)
{
	Task__ShutdownRequest request = TASK__SHUTDOWN_REQUEST__INIT;
	struct pollfd ended = { .events = POLLIN };
	const struct state *state = handle->state;

	if (state && state->machine_of) {
		end_stand_in(handle);
		return;
	}
	request.id = handle->id;
	request.now = true;
	if (state && state->server_pid > 1 &&
	    process_start_time(state->server_pid) == state->server_start) {
		_cleanup_close_ int fd = pidfd_open(state->server_pid, 0);

		ended.fd = fd;
		if (fd >= 0 &&
		    handle_call(handle, "Shutdown", &request.base, &task__empty__descriptor,
				CALL_TIMEOUT_MS, NULL, NULL) == 0)
			(void)poll(&ended, 1, END_PATIENCE_MS);
	}
	kill_processes(handle);
	close_fdp(&handle->server_fd);
	handle->server_fd = -1;
}

int handle_remove(struct handle *handle, struct error **ret_error)
{
	_cleanup_free_ char *directory = state_path(handle->root, handle->id, NULL);
	_cleanup_free_ char *cgroup = state_path(handle->root, handle->id, CGROUP_NOTE);
	_cleanup_error_ struct error *error = NULL;

	/* What stays is in use by others. */
	if (cgroup_place_remove(cgroup, &error) < 0)
		log_warning("%s", error->message);
	return remove_tree(directory, ret_error);
}
