/* SPDX-License-Identifier: Apache-2.0 */
/* `load`, `save`, `import`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/image-changes.h"
#include "cli/images.h"

struct load_options {
	const char *input, *platform;
	bool quiet, keep_blobs;
};

static const struct option_def load_options[] = {
	{ "input", 'i', OPTION_STRING, offsetof(struct load_options, input),
	  "an OCI layout (a directory or an archive) or a docker archive (default: the standard "
	  "input)" },
	{ "platform", 0, OPTION_STRING, offsetof(struct load_options, platform),
	  "OS/ARCHITECTURE[/VARIANT] of the images (default: this machine's)" },
	{ "quiet", 'q', OPTION_FLAG, offsetof(struct load_options, quiet), "print no names" },
	{ "keep-blobs", 0, OPTION_FLAG, offsetof(struct load_options, keep_blobs),
	  "keep the layers as they came, too: save writes these" },
	OPTION_END
};

static int run_load(const struct command *command, struct error **ret_error)
{
	const struct load_options *values = command->options;
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	_cleanup_strv_ char **names = NULL;
	const struct images_request request = {
		.action = "load",
		.file = values->input ? values->input : "-",
		.options = { .platform = values->platform, .keep_blobs = values->keep_blobs },
	};

	if (!values->input && isatty(STDIN_FILENO))
		return error_set(ret_error, EINVAL,
				 "load: the standard input is a terminal: use --input");
	if (image_verb_open(command, &store, ret_error) < 0 ||
	    images_do(store, &request, &names, ret_error) < 0)
		return -1;
	for (size_t i = 0; !values->quiet && names && names[i]; i++)
		printf("Loaded image: %s\n", names[i]);
	return 0;
}

const struct verb verb_load = {
	.name = "load",
	.arguments = "",
	.summary = "take images from a file or directory",
	.options = load_options,
	.options_size = sizeof(struct load_options),
	.max_args = 0,
	.run = run_load,
};

struct save_options {
	const char *output;
};

static const struct option_def save_options[] = { { "output", 'o', OPTION_STRING,
						    offsetof(struct save_options, output),
						    "the file (default: the standard output)" },
						  OPTION_END };

static int run_save(const struct command *command, struct error **ret_error)
{
	const struct save_options *values = command->options;
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	const struct images_request request = { .action = "save",
						.file = values->output ? values->output : "-",
						.references = command->args };

	if (!values->output && isatty(STDOUT_FILENO))
		return error_set(ret_error, EINVAL,
				 "save: the standard output is a terminal: use --output");
	return image_verb_open(command, &store, ret_error) < 0
		   ? -1
		   : images_do(store, &request, NULL, ret_error);
}

const struct verb verb_save = {
	.name = "save",
	.arguments = "<image> [image...]",
	.summary = "write images to a file that docker and OCI tools take",
	.description =
	    "Layers that were not kept (--keep-blobs) are made anew: the id is another then.",
	.options = save_options,
	.options_size = sizeof(struct save_options),
	.min_args = 1,
	.max_args = VERB_ARGS_ANY,
	.run = run_save,
};

struct import_options {
	const char *message, *platform;
	const char **changes;
	bool keep_blobs;
};

static const struct option_def import_options[] = {
	{ "change", 'c', OPTION_STRINGS, offsetof(struct import_options, changes),
	  "an instruction of a Dockerfile, as for `commit`" },
	{ "keep-blobs", 0, OPTION_FLAG, offsetof(struct import_options, keep_blobs),
	  "keep the archive, too: save writes it" },
	{ "message", 'm', OPTION_STRING, offsetof(struct import_options, message),
	  "what its history says of it" },
	{ "platform", 0, OPTION_STRING, offsetof(struct import_options, platform),
	  "OS/ARCHITECTURE[/VARIANT] of the programs (default: this machine's)" },
	OPTION_END
};

/* Prints the id, as docker does. */
static int print_id(struct image_store *store, const char *name, struct error **ret_error)
{
	_cleanup_(stored_image_freep) struct stored_image *image = NULL;

	if (image_store_find(store, name, &image, ret_error) < 0)
		return -1;
	printf("%s\n", image->config_digest);
	return 0;
}

static int run_import(const struct command *command, struct error **ret_error)
{
	const struct import_options *values = command->options;
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	_cleanup_strv_ char **names = NULL;
	_cleanup_free_ char *config = NULL;
	struct images_request request = {
		.action = "import",
		.file = command->args[0],
		.reference = command->n_args > 1 ? command->args[1] : NULL,
		.message = values->message,
		.options = { .platform = values->platform, .keep_blobs = values->keep_blobs },
	};

	if (image_changes_apply(NULL, values->changes, &config, ret_error) < 0)
		return -1;
	request.config = config;
	if (image_verb_open(command, &store, ret_error) < 0 ||
	    images_do(store, &request, &names, ret_error) < 0)
		return -1;
	return names && names[0] ? print_id(store, names[0], ret_error) : 0;
}

const struct verb verb_import = {
	.name = "import",
	.arguments = "<file|-> [name]",
	.summary = "make an image of a root file system's tar archive",
	.description = "It has one layer and no command. The archive may be compressed.",
	.options = import_options,
	.options_size = sizeof(struct import_options),
	.min_args = 1,
	.max_args = 2,
	.run = run_import,
};
