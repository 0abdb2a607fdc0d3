/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `diff`: what a container has changed of its image's files.
 *
 * The guest says what is in the writable layer, and the image's layers whether they have something
 * of that name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/plain.h"
#include "base/tar.h"
#include "cli/container-files.h"
#include "cli/images.h"
#include "cli/verb.h"
#include "rootfs/image/layer-read.h"

#define CHANGES_MAX 1000000

static const struct option_def options[] = { OPTION_END };

/* Each "K/PATH", K as docker's: A, C or D. */
struct changes {
	struct layer_stack *stack;
	char **lines;
	size_t n, capacity;
};

static void changes_done(struct changes *changes)
{
	for (size_t i = 0; i < changes->n; i++)
		free(changes->lines[i]);
	free(changes->lines);
	layer_stack_close(changes->stack);
}

static int compare(const void *one, const void *other)
{
	return strcmp(*(char *const *)one + 1, *(char *const *)other + 1);
}

static int add(struct changes *changes, char *line, struct error **ret_error)
{
	if (changes->n == CHANGES_MAX) {
		free(line);
		return error_set(ret_error, E2BIG, "more than %d changes", CHANGES_MAX);
	}
	if (changes->n == changes->capacity) {
		changes->capacity = changes->capacity ? changes->capacity * 2 : 64;
		changes->lines =
		    xreallocarray(changes->lines, changes->capacity, sizeof(*changes->lines));
	}
	changes->lines[changes->n++] = line;
	return 0;
}

static int add_entry(struct changes *changes, const struct tar_entry *entry,
		     struct error **ret_error)
{
	const char *slash = strrchr(entry->path, '/'), *name = slash ? slash + 1 : entry->path;
	bool is_there;

	if (strcmp(name, TAR_OPAQUE) == 0)
		return 0;
	if (strncmp(name, TAR_WHITEOUT, strlen(TAR_WHITEOUT)) == 0)
		return add(changes,
			   xasprintf("D/%.*s%s", (int)(name - entry->path), entry->path,
				     name + strlen(TAR_WHITEOUT)),
			   ret_error);
	if (layer_stack_has(changes->stack, entry->path, &is_there, ret_error) < 0)
		return -1;
	return add(changes, xasprintf("%c/%s", is_there ? 'C' : 'A', entry->path), ret_error);
}

static int read_changes(int fd, struct changes *changes, struct error **ret_error)
{
	struct tar_reader reader = { .fd = fd };
	struct tar_entry entry = { 0 };
	int result;

	while ((result = tar_next(&reader, &entry, ret_error)) == 1) {
		result = add_entry(changes, &entry, ret_error);
		tar_entry_done(&entry);
		if (result < 0)
			return -1;
	}
	return result;
}

static int open_stack(const struct command *command, struct layer_stack **ret_stack,
		      struct error **ret_error)
{
	_cleanup_free_ char *directory =
	    state_path(command->globals->client.root, command->args[0], NULL);
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	_cleanup_(stored_image_freep) struct stored_image *image = NULL;

	if (image_verb_open(command, &store, ret_error) < 0 ||
	    image_store_held(store, directory, &image, ret_error) < 0)
		return -1;
	return layer_stack_open(image->layer_paths, image->n_layers, ret_stack, ret_error);
}

static int run(const struct command *command, struct error **ret_error)
{
	_cleanup_(files_owner_close) struct files_owner owner = FILES_OWNER_NONE;
	_cleanup_(changes_done) struct changes changes = { 0 };
	struct container_files files;
	struct error *error = NULL;
	int result;

	if (files_owner_open(&command->globals->client, command->args[0], &owner, ret_error) < 0 ||
	    container_files_changes(&owner, true, &files, ret_error) < 0)
		return -1;
	container_files_go(&files);
	result = open_stack(command, &changes.stack, &error);
	if (result == 0)
		result = read_changes(files.stream, &changes, &error);
	if (container_files_close(&files, result, error, ret_error) < 0)
		return -1;
	qsort(changes.lines, changes.n, sizeof(*changes.lines), compare);
	for (size_t i = 0; i < changes.n; i++) {
		plain_text(changes.lines[i]);
		printf("%c %s\n", changes.lines[i][0], changes.lines[i] + 1);
	}
	return 0;
}

const struct verb verb_diff = {
	.name = "diff",
	.arguments = "<container-id>",
	.summary =
	    "show which files of its image a container has changed (A, C, D: added, changed, "
	    "deleted)",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
