/* SPDX-License-Identifier: Apache-2.0 */
/* `state`, `start`, `pause`, `resume` and `kill`: one container, one call each. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/parse.h"
#include "cli/run-again.h"
#include "cli/run-volumes.h"
#include "cli/verb.h"
#include "client/handle.h"
#include "host/volumes.h"

static const struct option_def no_options[] = { OPTION_END };

static int state(const struct command *command, struct error **ret_error)
{
	_cleanup_(handle_freep) struct handle *handle = NULL;
	_cleanup_free_ char *text = NULL;
	enum container_status status;

	if (handle_open(command->globals->client.root, command->args[0], &handle, ret_error) < 0 ||
	    handle_status(handle, &status, ret_error) < 0)
		return -1;
	text = state_json(handle->state, status, true);
	(void)fputs(text, stdout);
	return 0;
}

static int start_created(const struct client *client, struct handle *handle,
			 enum container_status status, struct error **ret_error)
{
	_cleanup_free_ char *marks = run_volumes_marks(client, handle->id);
	static const char *const refusals[] = {
		[STATUS_CREATING] = "cannot start a container that is still being created",
		[STATUS_CREATED] = NULL,
		[STATUS_RUNNING] = "cannot start an already running container",
		[STATUS_PAUSED] = "cannot start a container in the paused state",
	};
	Task__StartRequest request = TASK__START_REQUEST__INIT;

	if (refusals[status])
		return error_set(ret_error, EBUSY, "%s", refusals[status]);
	if (volumes_keep(marks, ret_error) < 0)
		return -1;
	request.id = handle->id;
	/* Hooks run in it, and have timeouts of their own. */
	return handle_call(handle, "Start", &request.base, &task__start_response__descriptor, 0,
			   NULL, ret_error);
}

/* Of an image, a container can start again. */
static int start(const struct command *command, struct error **ret_error)
{
	const struct client *client = &command->globals->client;
	const char *id = command->args[0];
	_cleanup_(handle_freep) struct handle *handle = NULL;
	enum container_status status;

	if (handle_open_locked(client->root, id, &handle, ret_error) < 0 ||
	    handle_status(handle, &status, ret_error) < 0)
		return -1;
	if (status != STATUS_STOPPED)
		return start_created(client, handle, status, ret_error);
	handle_free(TAKE_PTR(handle));
	if (run_again_asked(client, command->globals->image_store, id, ret_error) < 0)
		return -1;
	printf("%s\n", id);
	return 0;
}

static int pause_container(const struct command *command, struct error **ret_error)
{
	_cleanup_(handle_freep) struct handle *handle = NULL;
	Task__PauseRequest request = TASK__PAUSE_REQUEST__INIT;
	enum container_status status;

	if (handle_open_locked(command->globals->client.root, command->args[0], &handle,
			       ret_error) < 0 ||
	    handle_status(handle, &status, ret_error) < 0)
		return -1;
	if (status != STATUS_RUNNING && status != STATUS_CREATED)
		return error_set(ret_error, EBUSY, "container not running: %s is %s", handle->id,
				 container_status_name(status));
	request.id = handle->id;
	return handle_call(handle, "Pause", &request.base, &task__empty__descriptor,
			   CALL_TIMEOUT_MS, NULL, ret_error);
}

static int resume(const struct command *command, struct error **ret_error)
{
	_cleanup_(handle_freep) struct handle *handle = NULL;
	Task__ResumeRequest request = TASK__RESUME_REQUEST__INIT;
	enum container_status status;

	if (handle_open_locked(command->globals->client.root, command->args[0], &handle,
			       ret_error) < 0 ||
	    handle_status(handle, &status, ret_error) < 0)
		return -1;
	if (status != STATUS_PAUSED)
		return error_set(ret_error, EBUSY, "container not paused: %s is %s", handle->id,
				 container_status_name(status));
	request.id = handle->id;
	return handle_call(handle, "Resume", &request.base, &task__empty__descriptor,
			   CALL_TIMEOUT_MS, NULL, ret_error);
}

struct kill_options {
	bool all;
};

static const struct option_def kill_option_table[] = {
	{ "all", 'a', OPTION_FLAG, offsetof(struct kill_options, all),
	  "send the signal to all processes inside the container" },
	OPTION_END
};

static int kill_container(const struct command *command, struct error **ret_error)
{
	const struct kill_options *values = command->options;
	/* runc: an empty name is none. */
	const char *name = command->n_args > 1 ? command->args[1] : "";
	_cleanup_(handle_freep) struct handle *handle = NULL;
	Task__KillRequest request = TASK__KILL_REQUEST__INIT;
	enum container_status status;
	int signal = SIGTERM;

	if (handle_open(command->globals->client.root, command->args[0], &handle, ret_error) < 0 ||
	    (name[0] && parse_signal(name, &signal, ret_error) < 0) ||
	    handle_status(handle, &status, ret_error) < 0)
		return -1;
	/* runc: with --all, nothing left to kill is not an error. */
	if (status == STATUS_STOPPED && values->all)
		return 0;
	if (status == STATUS_STOPPED || status == STATUS_CREATING)
		return error_set(ret_error, EBUSY, "container not running");
	if (signal == 0) /* kill(2): only asks whether it is there */
		return 0;
	request.id = handle->id;
	request.signal = (uint32_t)signal;
	request.all = values->all;
	return handle_call(handle, "Kill", &request.base, &task__empty__descriptor, CALL_TIMEOUT_MS,
			   NULL, ret_error);
}

const struct verb verb_state = {
	.name = "state",
	.arguments = "<container-id>",
	.summary = "output the state of a container",
	.options = no_options,
	.min_args = 1,
	.max_args = 1,
	.run = state,
};
const struct verb verb_start = {
	.name = "start",
	.arguments = "<container-id>",
	.summary = "execute the user's program in a created container, or again in one of an image",
	.options = no_options,
	.min_args = 1,
	.max_args = 1,
	.run = start,
};
const struct verb verb_pause = {
	.name = "pause",
	.arguments = "<container-id>",
	.summary = "suspend all processes inside the container",
	.options = no_options,
	.min_args = 1,
	.max_args = 1,
	.run = pause_container,
};
const struct verb verb_resume = {
	.name = "resume",
	.arguments = "<container-id>",
	.summary = "resume all processes that have been paused",
	.options = no_options,
	.min_args = 1,
	.max_args = 1,
	.run = resume,
};
const struct verb verb_kill = {
	.name = "kill",
	.arguments = "<container-id> [signal]",
	.summary = "send a signal (default: SIGTERM) to the container's init process",
	.options = kill_option_table,
	.options_size = sizeof(struct kill_options),
	.min_args = 1,
	.max_args = 2,
	.run = kill_container,
};
