/* SPDX-License-Identifier: Apache-2.0 */
/* `stop` and `rm`: docker's words for containers that nobody waits for. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "cli/images.h"
#include "cli/run-again.h"
#include "cli/run-disk.h"
#include "cli/run-image.h"
#include "cli/run-restart.h"
#include "cli/run-volumes.h"
#include "cli/verb.h"
#include "client/create.h"
#include "client/delete.h"
#include "host/volumes.h"
#include "runtime-spec/spec.h"

#define STOP_SECONDS 10 /* docker's */
#define SECONDS_UNSAID UINT64_MAX
#define KILL_SECONDS 10
#define CREATING_SECONDS 120 /* a boot takes no longer (doc/limits.md) */
#define POLL_MS 100

/* ---- stop ---- */

struct stop_options {
	const char *seconds; /* NULL: STOP_SECONDS */
	bool at_once;
};

static const struct option_def stop_options[] = {
	{ "time", 't', OPTION_STRING, offsetof(struct stop_options, seconds),
	  "seconds until it is killed (default: 10)" },
	{ "now", 0, OPTION_FLAG, offsetof(struct stop_options, at_once), "kill it at once" },
	OPTION_END
};

/* What its image, or --stop-signal, says. */
static int stop_signal(const struct handle *handle)
{
	_cleanup_(spec_freep) struct spec *spec = NULL;
	const char *config = handle->state->config, *word = NULL;
	int signal = SIGTERM;

	if (config && spec_parse(config, strlen(config), &spec, NULL) == 0)
		word = spec_annotation(spec, ANNOTATION_STOP_SIGNAL);
	if (word)
		(void)parse_signal(word, &signal, NULL);
	return signal > 0 ? signal : SIGTERM;
}

static int send_signal(const struct handle *handle, int signal, struct error **ret_error)
{
	Task__KillRequest request = TASK__KILL_REQUEST__INIT;
	_cleanup_error_ struct error *error = NULL;

	request.id = handle->id;
	request.signal = (uint32_t)signal;
	if (handle_call(handle, "Kill", &request.base, &task__empty__descriptor, CALL_TIMEOUT_MS,
			NULL, &error) == 0 ||
	    error->code == ENOENT || error->code == ECONNRESET) /* it has ended by itself */
		return 0;
	return error_set(ret_error, error->code, "%s", error->message);
}

/* True: it has ended. */
static bool wait_for(struct handle *handle, uint64_t seconds)
{
	Task__WaitRequest request = TASK__WAIT_REQUEST__INIT;
	_cleanup_error_ struct error *error = NULL;

	request.id = handle->id;
	if (seconds > 0 &&
	    handle_call(handle, "Wait", &request.base, &task__wait_response__descriptor,
			seconds * 1000, NULL, &error) == 0)
		return true;
	handle_reconnect(handle);
	return error && (error->code == ENOENT || error->code == ECONNRESET);
}

/* While somebody makes it, for the first time or again, it is waited for: it can be told then. */
static int open_made(const char *root, const char *id, struct handle **ret_handle,
		     enum container_status *ret_status, struct error **ret_error)
{
	const uint64_t end_ns = clock_monotonic_ns() + CREATING_SECONDS * NS_PER_SECOND;
	_cleanup_(handle_freep) struct handle *handle = NULL;

	for (;;) {
		if (handle_open(root, id, &handle, ret_error) < 0 ||
		    handle_status(handle, ret_status, ret_error) < 0)
			return -1;
		if (*ret_status != STATUS_CREATING || clock_monotonic_ns() >= end_ns)
			break;
		handle_free(TAKE_PTR(handle));
		(void)poll(NULL, 0, POLL_MS);
	}
	if (*ret_status == STATUS_CREATING)
		return error_set(ret_error, EBUSY, "container %s is still being created: try again",
				 id);
	*ret_handle = TAKE_PTR(handle);
	return 0;
}

/* What --stop-timeout says, unless -t does. */
static uint64_t patience(const struct handle *handle, uint64_t asked)
{
	_cleanup_(spec_freep) struct spec *spec = NULL;
	const char *config = handle->state->config, *word = NULL;
	uint64_t seconds = STOP_SECONDS;

	if (asked != SECONDS_UNSAID)
		return asked;
	if (config && spec_parse(config, strlen(config), &spec, NULL) == 0)
		word = spec_annotation(spec, ANNOTATION_STOP_TIMEOUT);
	return word && parse_number(word, &seconds) == 0 && seconds <= STOP_SECONDS_MAX
		   ? seconds
		   : STOP_SECONDS;
}

static int stop_one(const char *root, const char *id, uint64_t asked, struct error **ret_error)
{
	_cleanup_(handle_freep) struct handle *handle = NULL;
	enum container_status status;
	uint64_t seconds;

	if (open_made(root, id, &handle, &status, ret_error) < 0)
		return -1;
	if (status == STATUS_STOPPED)
		return 0;
	seconds = patience(handle, asked);
	if (seconds > 0 && send_signal(handle, stop_signal(handle), ret_error) < 0)
		return -1;
	if (wait_for(handle, seconds))
		return 0;
	if (send_signal(handle, SIGKILL, ret_error) < 0)
		return -1;
	(void)wait_for(handle, KILL_SECONDS);
	return 0;
}

static int read_seconds(const struct stop_options *values, uint64_t *ret_seconds,
			struct error **ret_error)
{
	const char *word = values->seconds;

	*ret_seconds = values->at_once ? 0 : SECONDS_UNSAID;
	if (!word || values->at_once)
		return 0;
	if (parse_number(word, ret_seconds) < 0 || *ret_seconds > STOP_SECONDS_MAX)
		return error_set(ret_error, EINVAL, "--time %s: must be 0 to %d seconds", word,
				 STOP_SECONDS_MAX);
	return 0;
}

/* One that fails does not keep the others from it: its error is logged, the last one returned. */
static int for_each_id(const struct command *command,
		       int (*act)(const struct command *command, const char *id, const void *data,
				  struct error **ret_error),
		       const void *data, struct error **ret_error)
{
	_cleanup_error_ struct error *failure = NULL;

	for (size_t i = 0; i < command->n_args; i++) {
		_cleanup_error_ struct error *error = NULL;

		if (act(command, command->args[i], data, &error) == 0) {
			printf("%s\n", command->args[i]);
			continue;
		}
		if (failure)
			log_error("%s", failure->message);
		error_free(failure);
		failure = TAKE_PTR(error);
	}
	if (!failure)
		return 0;
	*ret_error = TAKE_PTR(failure);
	return -1;
}

static int stop_id(const struct command *command, const char *id, const void *data,
		   struct error **ret_error)
{
	const struct client *client = &command->globals->client;
	_cleanup_free_ char *bundle = state_path(client->root, id, CREATE_IMAGE_BUNDLE);

	/* It is not to start again by itself. */
	if (state_check_id(id, NULL) == 0 && access(bundle, F_OK) == 0 &&
	    restart_set_stopped(client, id, true, ret_error) < 0)
		return -1;
	return stop_one(client->root, id, *(const uint64_t *)data, ret_error);
}

static int run_stop(const struct command *command, struct error **ret_error)
{
	uint64_t seconds;

	if (read_seconds(command->options, &seconds, ret_error) < 0)
		return -1;
	return for_each_id(command, stop_id, &seconds, ret_error);
}

const struct verb verb_stop = {
	.name = "stop",
	.arguments = "<container-id> [container-id...]",
	.summary = "ask containers to end, then kill them",
	.options = stop_options,
	.options_size = sizeof(struct stop_options),
	.min_args = 1,
	.max_args = VERB_ARGS_ANY,
	.run = run_stop,
};

/* ---- restart ---- */

static int restart_id(const struct command *command, const char *id, const void *data,
		      struct error **ret_error)
{
	const struct globals *globals = command->globals;

	return stop_id(command, id, data, ret_error) < 0
		   ? -1
		   : run_again_asked(&globals->client, globals->image_store, id, ret_error);
}

static int run_restart(const struct command *command, struct error **ret_error)
{
	uint64_t seconds;

	if (read_seconds(command->options, &seconds, ret_error) < 0)
		return -1;
	return for_each_id(command, restart_id, &seconds, ret_error);
}

const struct verb verb_restart = {
	.name = "restart",
	.arguments = "<container-id> [container-id...]",
	.summary = "stop containers of images, and start them again",
	.options = stop_options,
	.options_size = sizeof(struct stop_options),
	.min_args = 1,
	.max_args = VERB_ARGS_ANY,
	.run = run_restart,
};

/* ---- rm ---- */

struct rm_options {
	bool force, volumes;
};

static const struct option_def rm_options[] = {
	{ "force", 'f', OPTION_FLAG, offsetof(struct rm_options, force),
	  "also those that run, with SIGKILL" },
	{ "volumes", 'v', OPTION_FLAG, offsetof(struct rm_options, volumes),
	  "also their volumes without a name" },
	OPTION_END
};

/* Its image need not be kept for it any more, nor its disk, nor these volumes, if they have no
 * name.
 */
static void release(const char *store_path, const char *directory, char *const *volumes,
		    char *const *disks)
{
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	_cleanup_free_ char *volumes_directory = NULL;

	if (image_store_open(store_path, &store, NULL) < 0)
		return;
	image_store_release(store, directory);
	volumes_directory = run_volumes_directory(store);
	run_volumes_drop(volumes_directory, volumes);
	run_disks_remove(store, disks);
}

static int remove_id(const struct command *command, const char *id, const void *data,
		     struct error **ret_error)
{
	const struct rm_options *values = data;
	const char *root = command->globals->client.root;
	_cleanup_free_ char *directory = NULL, *bundle = NULL, *marks = NULL, *store = NULL;
	_cleanup_strv_ char **volumes = NULL, **disks = NULL;
	bool of_image;

	if (state_check_id(id, ret_error) < 0)
		return -1;
	directory = state_path(root, id, NULL);
	bundle = state_path(root, id, CREATE_IMAGE_BUNDLE);
	marks = run_volumes_marks(&command->globals->client, id);
	of_image = access(bundle, F_OK) == 0;
	(void)run_again_store(&command->globals->client, id, &store, NULL);
	if ((values->volumes && volumes_used(marks, &volumes, ret_error) < 0) ||
	    run_disks_used(directory, &disks, ret_error) < 0)
		return -1;
	/* (For delete, which is runc's, --force means also those that there are not.) */
	if (access(directory, F_OK) < 0)
		return error_set(ret_error, ENOENT, "container does not exist: %s", id);
	if (delete_container(root, id, values->force, ret_error) < 0)
		return -1;
	if (of_image)
		release(store ? store : command->globals->image_store, directory, volumes, disks);
	return 0;
}

static int run_rm(const struct command *command, struct error **ret_error)
{
	return for_each_id(command, remove_id, command->options, ret_error);
}

const struct verb verb_rm = {
	.name = "rm",
	.arguments = "<container-id> [container-id...]",
	.summary = "delete containers",
	.options = rm_options,
	.options_size = sizeof(struct rm_options),
	.min_args = 1,
	.max_args = VERB_ARGS_ANY,
	.run = run_rm,
};
