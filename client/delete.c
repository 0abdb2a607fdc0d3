/* SPDX-License-Identifier: Apache-2.0 */
/* Deleting a container: see delete.h. */
#include "client/delete.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "client/handle.h"

/* As runc: 100 times 100 ms. */
#define KILL_TIMEOUT_MS 10000
/* Hooks (poststop) may take their time; --force does not wait for ever. */
#define DELETE_TIMEOUT_MS 60000

/* SIGKILL to everything in it, answered when it has worked. */
static int kill_all(const struct handle *handle, struct error **ret_error)
{
	Task__KillRequest kill = TASK__KILL_REQUEST__INIT;

	kill.id = handle->id;
	kill.signal = SIGKILL;
	kill.all = true;
	return handle_call(handle, "Kill", &kill.base, &task__empty__descriptor, KILL_TIMEOUT_MS,
			   NULL, ret_error);
}

static int delete_task(const struct handle *handle, bool force, struct error **ret_error)
{
	Task__DeleteRequest request = TASK__DELETE_REQUEST__INIT;

	request.id = handle->id;
	return handle_call(handle, "Delete", &request.base, &task__delete_response__descriptor,
			   force ? DELETE_TIMEOUT_MS : 0, NULL, ret_error);
}

/* Through the task server. A failure leaves the container as it is, unless forced. */
static int delete_by_server(struct handle *handle, bool force, struct error **ret_error)
{
	_cleanup_error_ struct error *error = NULL;
	enum container_status status = STATUS_STOPPED;

	if (handle_status(handle, &status, &error) < 0 && !force) {
		*ret_error = TAKE_PTR(error);
		return -1;
	}
	/* The server would give up the Create.  One that runs it refuses, unless it is about
	 * to end. */
	if (status == STATUS_CREATING && !force)
		return error_set(ret_error, EBUSY,
				 "cannot delete container %s that is not stopped: creating",
				 handle->id);
	if (!error && (status == STATUS_CREATED || (force && status != STATUS_STOPPED)))
		(void)kill_all(handle, &error);
	if (!error)
		(void)delete_task(handle, force, &error);
	/* ENOENT: the server has no such task; ECONNRESET: no server. */
	if (!error || error->code == ENOENT || error->code == ECONNRESET)
		return 0;
	if (!force) {
		*ret_error = TAKE_PTR(error);
		return -1;
	}
	log_warning("deleting container %s by force: %s", handle->id, error->message);
	/* One that does not answer is not asked again. */
	close_fdp(&handle->server_fd);
	handle->server_fd = -1;
	return 0;
}

int end_container(struct handle *handle, bool force, struct error **ret_error)
{
	if (handle->server_fd >= 0 && delete_by_server(handle, force, ret_error) < 0)
		return -1;
	handle_end_processes(handle);
	return 0;
}

char *idle_root(const char *root, const char *id)
{
	return state_path(root, id, "idle");
}

int idle_end(const char *root, const char *id, struct error **ret_error)
{
	_cleanup_free_ char *directory = idle_root(root, id);
	_cleanup_(handle_freep) struct handle *handle = NULL;
	_cleanup_error_ struct error *error = NULL;

	if (access(directory, F_OK) < 0)
		return 0;
	if (handle_open_leftovers(directory, id, &handle, &error) < 0 && error->code != ENOENT)
		return error_set(ret_error, error->code, "%s", error->message);
	if (handle &&
	    (end_container(handle, true, ret_error) < 0 || handle_remove(handle, ret_error) < 0))
		return -1;
	return remove_tree(directory, ret_error);
}

int delete_container(const char *root, const char *id, bool force, struct error **ret_error)
{
	_cleanup_(handle_freep) struct handle *handle = NULL;
	_cleanup_error_ struct error *error = NULL;
	int result;

	if (force)
		result = handle_open_leftovers(root, id, &handle, &error);
	else
		result = handle_open_locked(root, id, &handle, &error);
	if (result < 0) {
		if (force && error->code == ENOENT)
			return 0;
		*ret_error = TAKE_PTR(error);
		return -1;
	}
	if (idle_end(root, id, ret_error) < 0 || end_container(handle, force, ret_error) < 0)
		return -1;
	return handle_remove(handle, ret_error);
}
