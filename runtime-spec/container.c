/* A container's directory, lock and processes: see container.h. */
#include "runtime-spec/container.h"

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
#include "base/process.h"

#define LOCK_PATIENCE_MS 5000
#define END_PATIENCE_MS 5000

static struct container *container_alloc(const char *root, const char *id)
{
	struct container *container = xcalloc(1, sizeof(*container));

	container->root = xstrdup(root);
	container->id = xstrdup(id);
	container->lock_fd = container->server_fd = -1;
	return container;
}

void container_free(struct container *container)
{
	if (!container)
		return;
	close_fdp(&container->server_fd);
	close_fdp(&container->lock_fd);
	state_free(container->state);
	free(container->root);
	free(container->id);
	free(container);
}

static int does_not_exist(const char *id, struct error **ret_error)
{
	return error_set(ret_error, ENOENT, "container does not exist: %s", id);
}

/* 0: locked; EWOULDBLOCK after patience_ms; ENOENT: the container went meanwhile. */
static int take_lock(struct container *container, int flags, uint64_t patience_ms)
{
	_cleanup_free_ char *path = state_path(container->root, container->id, "lock");
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
	if (fstat(fd, &held) < 0 || stat(path, &named) < 0 || held.st_ino != named.st_ino ||
	    held.st_dev != named.st_dev)
		return ENOENT;
	container->lock_fd = TAKE_FD(fd);
	return 0;
}

int container_connect(const struct container *container, struct error **ret_error)
{
	_cleanup_free_ char *path = state_path(container->root, container->id, "task.sock");

	return unix_connect(path, ret_error);
}

int container_open(const char *root, const char *id, struct container **ret_container,
		   struct error **ret_error)
{
	_cleanup_(container_freep) struct container *container = container_alloc(root, id);

	if (state_load(root, id, &container->state, ret_error) < 0)
		return -1;
	container->server_fd = container_connect(container, NULL);
	*ret_container = TAKE_PTR(container);
	return 0;
}

int container_open_locked(const char *root, const char *id, struct container **ret_container,
			  struct error **ret_error)
{
	_cleanup_(container_freep) struct container *first = NULL;
	_cleanup_(container_freep) struct container *container = NULL;
	int code;

	/* The state is read again under the lock. */
	if (container_open(root, id, &first, ret_error) < 0)
		return -1;
	code = take_lock(first, 0, UINT64_MAX);
	if (code == ENOENT)
		return does_not_exist(id, ret_error);
	if (code != 0)
		return error_set_errno(ret_error, code, "cannot lock the container %s", id);
	if (container_open(root, id, &container, ret_error) < 0)
		return -1;
	container->lock_fd = TAKE_FD(first->lock_fd);
	*ret_container = TAKE_PTR(container);
	return 0;
}

static void kill_processes(const struct container *container)
{
	if (!container->state)
		return;
	process_kill(container->state->server_pid, container->state->server_start, END_PATIENCE_MS);
	process_kill(container->state->pid, container->state->pid_start, END_PATIENCE_MS);
}

static void reload(struct container *container)
{
	struct state *state;

	if (state_load(container->root, container->id, &state, NULL) < 0)
		return;
	state_free(container->state);
	container->state = state;
	close_fdp(&container->server_fd);
	container->server_fd = container_connect(container, NULL);
}

int container_open_leftovers(const char *root, const char *id, struct container **ret_container,
			     struct error **ret_error)
{
	_cleanup_(container_freep) struct container *container = container_alloc(root, id);
	_cleanup_free_ char *directory = state_path(root, id, NULL);
	struct stat st;
	int code;

	if (state_check_id(id, ret_error) < 0)
		return -1;
	if (lstat(directory, &st) < 0 || !S_ISDIR(st.st_mode))
		return does_not_exist(id, ret_error);
	code = take_lock(container, O_CREAT, LOCK_PATIENCE_MS);
	if (code == EWOULDBLOCK) {
		/* A verb waits for something that does not come. */
		reload(container);
		kill_processes(container);
		code = take_lock(container, O_CREAT, LOCK_PATIENCE_MS);
	}
	if (code == ENOENT)
		return does_not_exist(id, ret_error);
	if (code != 0)
		return error_set_errno(ret_error, code, "cannot lock the container %s", id);
	reload(container);
	*ret_container = TAKE_PTR(container);
	return 0;
}

int container_new(const char *root, const char *id, struct container **ret_container,
		  struct error **ret_error)
{
	_cleanup_(container_freep) struct container *container = container_alloc(root, id);
	_cleanup_free_ char *directory = state_path(root, id, NULL);
	int code;

	if (state_check_id(id, ret_error) < 0 || make_directories(root, 0700, ret_error) < 0)
		return -1;
	/* mkdir() picks the one winner. */
	if (mkdir(directory, 0700) < 0) {
		if (errno == EEXIST)
			return error_set(ret_error, EEXIST,
					 "container with given ID already exists");
		return error_set_errno(ret_error, errno, "cannot make %s", directory);
	}
	code = take_lock(container, O_CREAT, 0);
	if (code != 0) {
		/* Someone's delete --force stepped in between: theirs now. */
		return error_set_errno(ret_error, code, "container %s was deleted while being made",
				       id);
	}
	container->state = xcalloc(1, sizeof(*container->state));
	container->state->id = xstrdup(id);
	*ret_container = TAKE_PTR(container);
	return 0;
}

int container_call(const struct container *container, const char *method,
		   const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
		   uint64_t timeout_ms, ProtobufCMessage **ret_response, struct error **ret_error)
{
	ProtobufCMessage *message = NULL;

	if (container->server_fd < 0)
		return error_set(ret_error, ECONNRESET, "the task server of container %s is gone",
				 container->id);
	if (ttrpc_call_sync(container->server_fd, TASK_SERVICE, method, request, NULL, 0, response,
			    timeout_ms, &message, ret_error) < 0)
		return -1;
	if (ret_response)
		*ret_response = message;
	else
		protobuf_c_message_free_unpacked(message, NULL);
	return 0;
}

/* Before Create has answered there is no pid. Who creates holds the lock. */
static enum container_status status_without_task(const struct container *container)
{
	_cleanup_free_ char *path = state_path(container->root, container->id, "lock");
	_cleanup_close_ int fd = -1;

	if (container->state->pid != 0 || container->lock_fd >= 0)
		return STATUS_STOPPED;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return STATUS_CREATING;
	return STATUS_STOPPED;
}

int container_status(const struct container *container, enum container_status *ret_status,
		     struct error **ret_error)
{
	static const enum container_status statuses[] = {
		[TASK__STATUS__UNKNOWN] = STATUS_STOPPED, [TASK__STATUS__CREATED] = STATUS_CREATED,
		[TASK__STATUS__RUNNING] = STATUS_RUNNING, [TASK__STATUS__STOPPED] = STATUS_STOPPED,
		[TASK__STATUS__PAUSED] = STATUS_PAUSED,	  [TASK__STATUS__PAUSING] = STATUS_PAUSED,
	};
	Task__StateRequest request = TASK__STATE_REQUEST__INIT;
	ProtobufCMessage *message = NULL;
	_cleanup_error_ struct error *error = NULL;
	unsigned status;

	request.id = container->id;
	if (container_call(container, "State", &request.base, &task__state_response__descriptor,
			   CALL_TIMEOUT_MS, &message, &error) < 0) {
		if (error->code != ECONNRESET && error->code != ENOENT)
			return error_set(ret_error, error->code,
					 "cannot get the state of container %s: %s", container->id,
					 error->message);
		*ret_status = status_without_task(container);
		return 0;
	}
	status = ((Task__StateResponse *)message)->status;
	*ret_status = status < ARRAY_SIZE(statuses) ? statuses[status] : STATUS_STOPPED;
	protobuf_c_message_free_unpacked(message, NULL);
	return 0;
}

void container_end_processes(struct container *container)
{
	Task__ShutdownRequest request = TASK__SHUTDOWN_REQUEST__INIT;
	struct pollfd ended = { .events = POLLIN };
	const struct state *state = container->state;

	request.id = container->id;
	request.now = true;
	if (state && state->server_pid > 1 &&
	    process_start_time(state->server_pid) == state->server_start) {
		_cleanup_close_ int fd = pidfd_open(state->server_pid, 0);

		ended.fd = fd;
		if (fd >= 0 &&
		    container_call(container, "Shutdown", &request.base, &task__empty__descriptor,
				   CALL_TIMEOUT_MS, NULL, NULL) == 0)
			(void)poll(&ended, 1, END_PATIENCE_MS);
	}
	kill_processes(container);
	close_fdp(&container->server_fd);
	container->server_fd = -1;
}

int container_remove(struct container *container, struct error **ret_error)
{
	_cleanup_free_ char *directory = state_path(container->root, container->id, NULL);

	return remove_tree(directory, ret_error);
}
