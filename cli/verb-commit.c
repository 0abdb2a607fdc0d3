/* SPDX-License-Identifier: Apache-2.0 */
/* `commit`: an image of what a container's root file system is now. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "cli/container-files.h"
#include "cli/image-changes.h"
#include "cli/images.h"
#include "cli/run-again.h"
#include "cli/verb.h"
#include "client/interrupt.h"
#include "runtime-spec/spec.h"

struct commit_options {
	const char *author, *message;
	const char **changes;
	bool no_pause, keep_blobs;
};
#define FIELD(name) offsetof(struct commit_options, name)

static const struct option_def options[] = {
	{ "author", 'a', OPTION_STRING, FIELD(author), "who made it" },
	{ "change", 'c', OPTION_STRINGS, FIELD(changes),
	  "an instruction of a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, "
	  "VOLUME or WORKDIR" },
	{ "keep-blobs", 0, OPTION_FLAG, FIELD(keep_blobs),
	  "keep the layer as an archive, too: save writes it" },
	{ "message", 'm', OPTION_STRING, FIELD(message), "what its history says of it" },
	{ "pause", 'p', OPTION_UNSET_FLAG, FIELD(no_pause),
	  "pause the container meanwhile (default: true)" },
	OPTION_END
};

/* The container's own configuration: its image's with what `run` and --change say. base: its
 * image; NULL: it has none. */
static int make_config(const struct command *command, const struct stored_image *base,
		       char **ret_config, struct error **ret_error)
{
	const struct commit_options *values = command->options;
	_cleanup_strv_ char **changes = NULL;

	if (run_again_changes(&command->globals->client, command->args[0], &changes, ret_error) < 0)
		return -1;
	for (const char *const *change = values->changes; change && *change; change++)
		strv_append(&changes, *change);
	return image_changes_apply(base ? base->config_json : NULL, (const char *const *)changes,
				   ret_config, ret_error);
}

static int make_image(const struct command *command, struct image_store *store,
		      const struct stored_image *base, const char *config,
		      struct container_files *files, char ***ret_names, struct error **ret_error)
{
	const struct commit_options *values = command->options;
	const struct images_request request = {
		.action = "import",
		.file = "-",
		.reference = command->args[1],
		.message = values->message ? values->message : "",
		.author = values->author,
		.config = config,
		.base = base ? base->manifest_digest : NULL,
		.options = { .keep_blobs = values->keep_blobs },
	};
	struct error *error = NULL;
	int result;

	/* What it reads is our standard input. */
	if (dup2(files->stream, STDIN_FILENO) < 0) {
		(void)container_files_end(files, NULL);
		return error_set_errno(ret_error, errno, "cannot duplicate a descriptor");
	}
	result = images_do(store, &request, ret_names, &error);
	(void)close(STDIN_FILENO);
	return container_files_close(files, result, error, ret_error);
}

/* One layer above its image's, or, without an image, of the whole root. */
static int open_files(const struct files_owner *owner, const struct stored_image *base,
		      struct container_files *ret_files, struct error **ret_error)
{
	static const char *const flags[] = { SPEC_TOOL_STAYS, NULL };

	return base ? container_files_changes(owner, false, ret_files, ret_error)
		    : container_files_read(owner, "/", NULL, flags, ret_files, ret_error);
}

/* Of one that runs and is not paused already. */
static bool pause_it(const struct command *command, const struct files_owner *owner)
{
	const struct commit_options *values = command->options;
	Task__PauseRequest request = TASK__PAUSE_REQUEST__INIT;
	enum container_status status;

	if (values->no_pause || owner->idle || handle_status(owner->handle, &status, NULL) < 0 ||
	    status != STATUS_RUNNING)
		return false;
	request.id = owner->handle->id;
	return handle_call(owner->handle, "Pause", &request.base, &task__empty__descriptor,
			   CALL_TIMEOUT_MS, NULL, NULL) == 0;
}

static void resume_it(const struct files_owner *owner)
{
	Task__ResumeRequest request = TASK__RESUME_REQUEST__INIT;
	_cleanup_error_ struct error *error = NULL;

	request.id = owner->handle->id;
	if (handle_call(owner->handle, "Resume", &request.base, &task__empty__descriptor,
			CALL_TIMEOUT_MS, NULL, &error) < 0)
		log_warning("container %s stays paused: %s", owner->handle->id, error->message);
}

static int commit(const struct command *command, struct image_store *store,
		  const struct files_owner *owner, const struct stored_image *base,
		  char ***ret_names, struct error **ret_error)
{
	_cleanup_free_ char *config = NULL;
	struct interrupts interrupts;
	struct container_files files;
	bool is_paused;
	int result;

	if (make_config(command, base, &config, ret_error) < 0 ||
	    open_files(owner, base, &files, ret_error) < 0)
		return -1;
	/* From here on: who is killed by a signal leaves it paused. */
	if (interrupts_hold(&interrupts, ret_error) < 0) {
		(void)container_files_end(&files, NULL);
		return -1;
	}
	is_paused = base && pause_it(command, owner);
	container_files_go(&files);
	result = make_image(command, store, base, config, &files, ret_names, ret_error);
	if (is_paused)
		resume_it(owner);
	interrupts_let_through(&interrupts);
	return result;
}

static int run(const struct command *command, struct error **ret_error)
{
	const struct client *client = &command->globals->client;
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	_cleanup_(stored_image_freep) struct stored_image *image = NULL, *base = NULL;
	_cleanup_(files_owner_close) struct files_owner owner = FILES_OWNER_NONE;
	_cleanup_free_ char *directory = state_path(client->root, command->args[0], NULL);
	_cleanup_strv_ char **names = NULL;

	if (files_owner_open(client, command->args[0], &owner, ret_error) < 0 ||
	    image_verb_open(command, &store, ret_error) < 0)
		return -1;
	(void)image_store_held(store, directory, &base, NULL);
	if (commit(command, store, &owner, base, &names, ret_error) < 0 ||
	    image_store_find(store, names[0], &image, ret_error) < 0)
		return -1;
	printf("%s\n", image->config_digest);
	return 0;
}

const struct verb verb_commit = {
	.name = "commit",
	.arguments = "<container-id> [name]",
	.summary = "make an image of a container: one layer of what has changed, above its image's",
	.options = options,
	.options_size = sizeof(struct commit_options),
	.min_args = 1,
	.max_args = 2,
	.run = run,
};
