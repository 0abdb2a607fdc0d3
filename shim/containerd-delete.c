/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "delete": ends what is left of a container.  containerd runs it when it has lost
 * a task server, or failed to start one: whatever happened, afterwards there is no
 * process, no mount and no file of the container's.  A task server that still
 * answers does its part itself, since other containers of its sandbox may live.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/process.h"
#include "host/mounts.h"
#include "shim/containerd.h"
#include "ttrpc/any.h"
#include "ttrpc/message.h"
#include "ttrpc/ttrpc.h"

#define TASK_SERVICE "containerd.task.v2.Task"
/* containerd gives "delete" five seconds in all. */
#define CALL_TIMEOUT_MS 1000
#define END_PATIENCE_MS 1000

/* False: the server does not answer.  A refusal is an answer. */
static bool call(int fd, const char *method, const ProtobufCMessage *request,
		 const ProtobufCMessageDescriptor *response, ProtobufCMessage **ret_response)
{
	_cleanup_error_ struct error *error = NULL;
	ProtobufCMessage *message = NULL;
	const struct ttrpc_request call = { .service = TASK_SERVICE,
					    .method = method,
					    .message = request,
					    .response = response,
					    .timeout_ms = CALL_TIMEOUT_MS };

	if (ttrpc_call_sync(fd, -1, &call, &message, &error) < 0) {
		log_debug("%s: %s", method, error->message);
		return error->code != ETIMEDOUT && error->code != ECONNRESET;
	}
	if (ret_response)
		*ret_response = message;
	else
		protobuf_c_message_free_unpacked(message, NULL);
	return true;
}

/* Kill, Wait, Delete, Shutdown.  *ret_deleted is NULL where the server knows no such
 * container. */
static bool ask_server(const char *socket, char *id, Task__DeleteResponse **ret_deleted)
{
	_cleanup_close_ int fd = unix_connect(socket, NULL);
	Task__KillRequest kill = TASK__KILL_REQUEST__INIT;
	Task__WaitRequest wait = TASK__WAIT_REQUEST__INIT;
	Task__DeleteRequest delete = TASK__DELETE_REQUEST__INIT;
	Task__ShutdownRequest shutdown = TASK__SHUTDOWN_REQUEST__INIT;

	kill.id = wait.id = delete.id = shutdown.id = id;
	kill.signal = SIGKILL;
	kill.all = true;
	return fd >= 0 && call(fd, "Kill", &kill.base, &task__empty__descriptor, NULL) &&
	       call(fd, "Wait", &wait.base, &task__wait_response__descriptor, NULL) &&
	       call(fd, "Delete", &delete.base, &task__delete_response__descriptor,
		    (ProtobufCMessage **)ret_deleted) &&
	       call(fd, "Shutdown", &shutdown.base, &task__empty__descriptor, NULL);
}

static pid_t kill_noted(const struct home *home, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", home->directory, name);

	return process_kill_noted(path, END_PATIENCE_MS);
}

/* The server is dead, or as good as: its machine, and so every container of the
 * sandbox, goes too. */
static int remove_home(const struct home *home, pid_t *ret_pid, struct error **ret_error)
{
	_cleanup_close_ int lock = -1;

	(void)kill_noted(home, "shim.pid");
	*ret_pid = kill_noted(home, "vmm.pid");
	if (access(home->directory, F_OK) < 0 && access(home->socket, F_OK) < 0)
		return 0;
	if (home_lock(home->directory, &lock, ret_error) < 0)
		return -1;
	return home_remove(home->socket, ret_error);
}

static void print(const Task__DeleteResponse *response)
{
	size_t size;
	_cleanup_free_ uint8_t *bytes = message_pack(&response->base, &size);

	(void)fwrite(bytes, 1, size, stdout);
}

int containerd_delete(const struct containerd *containerd, struct error **ret_error)
{
	_cleanup_free_ char *bundle = realpath(containerd->bundle ? containerd->bundle : ".", NULL);
	_cleanup_free_ char *rootfs = xasprintf("%s/rootfs", bundle ? bundle : "");
	_cleanup_free_ char *id = xstrdup(containerd->id);
	_cleanup_home_ struct home home = { 0 };
	Task__DeleteResponse killed = TASK__DELETE_RESPONSE__INIT;
	Task__DeleteResponse *deleted = NULL;
	Task__Timestamp now;
	pid_t pid = 0;
	int result = 0;

	if (!bundle)
		return error_set_errno(ret_error, errno, "the bundle %s", containerd->bundle);
	home_find(containerd, bundle, NULL, &home);
	if (!ask_server(home.socket, id, &deleted))
		result = remove_home(&home, &pid, ret_error);
	if (mounts_remove(rootfs, result < 0 ? NULL : ret_error) < 0)
		result = -1;
	timestamp_init(&now, clock_realtime_ns());
	killed.pid = (uint32_t)pid;
	killed.exit_status = 128 + SIGKILL;
	killed.exited_at = &now;
	if (result == 0)
		print(deleted ? deleted : &killed);
	if (deleted)
		task__delete_response__free_unpacked(deleted, NULL);
	return result;
}
