/* `delete`. */
#include "runtime-spec/delete.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "runtime-spec/container.h"
#include "runtime-spec/verb.h"

/* As runc: 100 times 100 ms. */
#define KILL_TIMEOUT_MS 10000
/* Hooks (poststop) may take their time; --force does not wait for ever. */
#define DELETE_TIMEOUT_MS 60000

/* SIGKILL to everything in it, and its end. */
static int kill_all(const struct container *container, struct error **ret_error)
{
	Task__KillRequest kill = TASK__KILL_REQUEST__INIT;
	Task__WaitRequest wait = TASK__WAIT_REQUEST__INIT;

	kill.id = wait.id = container->id;
	kill.signal = SIGKILL;
	kill.all = true;
	if (container_call(container, "Kill", &kill.base, &task__empty__descriptor, KILL_TIMEOUT_MS,
			   NULL, ret_error) < 0)
		return -1;
	return container_call(container, "Wait", &wait.base, &task__wait_response__descriptor,
			      KILL_TIMEOUT_MS, NULL, ret_error);
}

static int delete_task(const struct container *container, bool force, struct error **ret_error)
{
	Task__DeleteRequest request = TASK__DELETE_REQUEST__INIT;

	request.id = container->id;
	return container_call(container, "Delete", &request.base,
			      &task__delete_response__descriptor, force ? DELETE_TIMEOUT_MS : 0,
			      NULL, ret_error);
}

/* Through the task server. A failure leaves the container as it is, unless forced. */
static int delete_by_server(struct container *container, bool force, struct error **ret_error)
{
	_cleanup_error_ struct error *error = NULL;
	enum container_status status = STATUS_STOPPED;

	if (container_status(container, &status, &error) < 0 && !force) {
		*ret_error = TAKE_PTR(error);
		return -1;
	}
	if (status != STATUS_STOPPED && status != STATUS_CREATED && !force)
		return error_set(ret_error, EBUSY,
				 "cannot delete container %s that is not stopped: %s",
				 container->id, container_status_name(status));
	if (!error && status != STATUS_STOPPED)
		(void)kill_all(container, &error);
	if (!error)
		(void)delete_task(container, force, &error);
	/* ENOENT: the server has no such task; ECONNRESET: no server. */
	if (!error || error->code == ENOENT || error->code == ECONNRESET)
		return 0;
	if (!force) {
		*ret_error = TAKE_PTR(error);
		return -1;
	}
	log_warning("deleting container %s by force: %s", container->id, error->message);
	/* One that does not answer is not asked again. */
	close_fdp(&container->server_fd);
	container->server_fd = -1;
	return 0;
}

int delete_container(const char *root, const char *id, bool force, struct error **ret_error)
{
	_cleanup_(container_freep) struct container *container = NULL;
	_cleanup_error_ struct error *error = NULL;
	int result;

	if (force)
		result = container_open_leftovers(root, id, &container, &error);
	else
		result = container_open_locked(root, id, &container, &error);
	if (result < 0) {
		if (force && error->code == ENOENT)
			return 0;
		*ret_error = TAKE_PTR(error);
		return -1;
	}
	if (container->server_fd >= 0 && delete_by_server(container, force, ret_error) < 0)
		return -1;
	container_end_processes(container);
	return container_remove(container, ret_error);
}

struct delete_options {
	bool force;
};

static const struct option_def options[] = {
	{ "force", 'f', OPTION_FLAG, offsetof(struct delete_options, force),
	  "delete it even if it is still running (with SIGKILL)" },
	OPTION_END
};

static int run(const struct command *command, struct error **ret_error)
{
	const struct delete_options *values = command->options;

	return delete_container(command->globals->root, command->args[0], values->force, ret_error);
}

const struct verb verb_delete = {
	.name = "delete",
	.arguments = "<container-id>",
	.summary = "delete a container and all that it holds",
	.options = options,
	.options_size = sizeof(struct delete_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
