/* SPDX-License-Identifier: Apache-2.0 */
/* `commit`: an image of what a container's root file system is now. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/container-files.h"
#include "cli/image-changes.h"
#include "cli/images.h"
#include "cli/verb.h"
#include "runtime-spec/spec.h"

struct commit_options {
	const char *author, *message;
	const char **changes;
	bool keep_blobs;
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
	{ "pause", 'p', OPTION_IGNORED_FLAG, 0, "pause the container meanwhile" },
	OPTION_END
};

/* Of the container's image; NULL: it has none. */
static int read_config(const struct command *command, struct image_store *store,
		       const char *const *changes, char **ret_config, struct error **ret_error)
{
	_cleanup_free_ char *directory =
	    state_path(command->globals->client.root, command->args[0], NULL);
	_cleanup_(stored_image_freep) struct stored_image *image = NULL;

	(void)image_store_held(store, directory, &image, NULL);
	return image_changes_apply(image ? image->config_json : NULL, changes, ret_config,
				   ret_error);
}

static int make_image(const struct command *command, struct image_store *store, const char *config,
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

static int run(const struct command *command, struct error **ret_error)
{
	static const char *const flags[] = { SPEC_TOOL_STAYS, NULL };
	const struct commit_options *values = command->options;
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	_cleanup_(stored_image_freep) struct stored_image *image = NULL;
	_cleanup_(handle_freep) struct handle *handle = NULL;
	_cleanup_strv_ char **names = NULL;
	_cleanup_free_ char *config = NULL;
	struct container_files files;

	if (handle_open(command->globals->client.root, command->args[0], &handle, ret_error) < 0 ||
	    image_verb_open(command, &store, ret_error) < 0 ||
	    read_config(command, store, values->changes, &config, ret_error) < 0 ||
	    container_files_read(handle, "/", NULL, flags, &files, ret_error) < 0 ||
	    make_image(command, store, config, &files, &names, ret_error) < 0 ||
	    image_store_find(store, names[0], &image, ret_error) < 0)
		return -1;
	printf("%s\n", image->config_digest);
	return 0;
}

const struct verb verb_commit = {
	.name = "commit",
	.arguments = "<container-id> [name]",
	.summary = "make an image of a container's root file system",
	.options = options,
	.options_size = sizeof(struct commit_options),
	.min_args = 1,
	.max_args = 2,
	.run = run,
};
