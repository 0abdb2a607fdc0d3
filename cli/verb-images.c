/* SPDX-License-Identifier: Apache-2.0 */
/* `images`, `rmi`, `inspect`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/plain.h"
#include "cli/images.h"
#include "cli/inspect-container.h"
#include "cli/table.h"

/* ---- images ---- */

struct images_options {
	bool quiet, no_trunc, digests;
	const char *format;
};

static const struct option_def images_options[] = {
	{ "format", 'f', OPTION_STRING, offsetof(struct images_options, format),
	  "'table' (default) or 'json'" },
	{ "quiet", 'q', OPTION_FLAG, offsetof(struct images_options, quiet), "only ids" },
	{ "no-trunc", 0, OPTION_FLAG, offsetof(struct images_options, no_trunc), "whole ids" },
	{ "digests", 0, OPTION_FLAG, offsetof(struct images_options, digests),
	  "show digests of manifests" },
	OPTION_END
};

/* "2026-01-02", of the configuration's own words; caller frees. */
static char *created_of(const struct stored_image *image)
{
	_cleanup_json_ yajl_val value = NULL;
	_cleanup_free_ char *created = NULL;
	struct json_at root;

	if (json_parse(image->config_json, strlen(image->config_json), "config", &value, NULL) < 0)
		return xstrdup("N/A");
	root = json_root(value);
	if (json_get_string(&root, "created", JSON_OPTIONAL, &created, NULL) < 0 || !created)
		return xstrdup("N/A");
	plain_text(created);
	return xstrndup(created, strcspn(created, "T "));
}

/* Splits a stored name: the tag, or "<none>" if it has a digest in its place. */
static char *tag_of(const char *name, size_t *ret_length)
{
	const char *at = strchr(name, '@');
	const char *colon = strrchr(name, ':');

	*ret_length = (size_t)((at ? at : colon ? colon : name + strlen(name)) - name);
	return xstrdup(at || !colon ? "<none>" : colon + 1);
}

static void add_row(struct table *table, const struct stored_image *image,
		    const struct images_options *values)
{
	size_t length;
	_cleanup_free_ char *tag = tag_of(image->name, &length);
	_cleanup_free_ char *repository = xstrndup(image->name, length);
	_cleanup_free_ char *id = images_id(image, values->no_trunc);
	_cleanup_free_ char *created = created_of(image), *size = images_size(image->size);

	table_add(table, repository);
	table_add(table, tag);
	if (values->digests)
		table_add(table,
			  image->index_digest ? image->index_digest : image->manifest_digest);
	table_add(table, id);
	table_add(table, created);
	table_add(table, size);
}

static void print_images(struct stored_image *const *images, const struct images_options *values)
{
	struct table table = { .n_columns = values->digests ? 6 : 5 };

	table_add(&table, "REPOSITORY");
	table_add(&table, "TAG");
	if (values->digests)
		table_add(&table, "DIGEST");
	table_add(&table, "IMAGE ID");
	table_add(&table, "CREATED");
	table_add(&table, "SIZE");
	for (size_t i = 0; images[i]; i++)
		add_row(&table, images[i], values);
	table_print(&table, stdout);
	table_done(&table);
}

static void print_images_json(struct stored_image *const *images)
{
	struct json_writer *writer = json_writer_new(false);
	_cleanup_free_ char *text = NULL;

	json_begin_array(writer);
	for (size_t i = 0; images[i]; i++) {
		json_begin_object(writer);
		json_put_string(writer, "name", images[i]->name);
		json_put_string(writer, "id", images[i]->config_digest);
		json_put_string(writer, "manifest", images[i]->manifest_digest);
		json_put_uint64(writer, "size", images[i]->size);
		json_put_uint64(writer, "added", images[i]->added);
		json_end_object(writer);
	}
	json_end_array(writer);
	text = json_writer_finish(writer, NULL);
	printf("%s\n", text);
}

/* An id once, however many names it has; they are not in its order. */
static void print_ids(struct stored_image *const *images, bool is_whole)
{
	for (size_t i = 0; images[i]; i++) {
		_cleanup_free_ char *id = images_id(images[i], is_whole);
		bool is_first = true;

		for (size_t k = 0; k < i && is_first; k++)
			is_first = strcmp(images[k]->config_digest, images[i]->config_digest) != 0;
		if (is_first)
			printf("%s\n", id);
	}
}

static int run_images(const struct command *command, struct error **ret_error)
{
	const struct images_options *values = command->options;
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	_cleanup_(stored_images_freep) struct stored_image **images = NULL;
	bool json;

	if (options_format(values->format, &json, ret_error) < 0 ||
	    image_verb_open(command, &store, ret_error) < 0 ||
	    image_store_list(store, &images, ret_error) < 0)
		return -1;
	if (values->quiet)
		print_ids(images, values->no_trunc);
	else if (json)
		print_images_json(images);
	else
		print_images(images, values);
	return 0;
}

const struct verb verb_images = {
	.name = "images",
	.arguments = "",
	.summary = "list the images of the image store",
	.options = images_options,
	.options_size = sizeof(struct images_options),
	.max_args = 0,
	.run = run_images,
};

/* ---- rmi ---- */

struct rmi_options {
	bool force;
};

static const struct option_def rmi_options[] = {
	{ "force", 'f', OPTION_FLAG, offsetof(struct rmi_options, force),
	  "by its id, also an image of several names; one that is not there is no error" },
	OPTION_END
};

/* The names of this image, one a line of the answer; how many. */
static size_t count_names(struct stored_image *const *images, const struct stored_image *image)
{
	size_t n = 0;

	for (size_t i = 0; images[i]; i++)
		n += strcmp(images[i]->manifest_digest, image->manifest_digest) == 0;
	return n;
}

static int remove_all_names(struct image_store *store, struct stored_image *const *images,
			    const struct stored_image *image, struct error **ret_error)
{
	for (size_t i = 0; images[i]; i++) {
		if (strcmp(images[i]->manifest_digest, image->manifest_digest) != 0)
			continue;
		if (image_store_remove_name(store, images[i]->name, ret_error) < 0)
			return -1;
		printf("Untagged: %s\n", images[i]->name);
	}
	return 0;
}

/* It was found by an id, not by its name. */
static bool is_id(const char *word, const struct stored_image *image)
{
	const char *digits =
	    strncmp(word, DIGEST_PREFIX, strlen(DIGEST_PREFIX)) == 0 ? digest_hex(word) : word;
	_cleanup_(reference_freep) struct reference *reference = NULL;

	if (strncmp(digest_hex(image->config_digest), digits, strlen(digits)) != 0 &&
	    strncmp(digest_hex(image->manifest_digest), digits, strlen(digits)) != 0)
		return false;
	return reference_parse(word, &reference, NULL) < 0 ||
	       strcmp(reference->name, image->name) != 0;
}

/* Docker's words.  What runs keeps its layers in any case (image_store_hold()). */
static int check_unused(struct image_store *store, const struct stored_image *image,
			const char *word, bool by_id, struct error **ret_error)
{
	_cleanup_free_ char *directory = NULL, *id = images_id(image, false);
	const char *slash;

	if (image_store_user(store, image, &directory, ret_error) < 0)
		return -1;
	if (!directory)
		return 0;
	slash = strrchr(directory, '/');
	return by_id ? error_set(ret_error, EBUSY,
				 "conflict: unable to delete %s (must be forced) - image is being "
				 "used by container %s",
				 id, slash ? slash + 1 : directory)
		     : error_set(ret_error, EBUSY,
				 "conflict: unable to remove repository reference \"%s\" (must "
				 "force) - container %s is using its referenced image %s",
				 word, slash ? slash + 1 : directory, id);
}

static int remove_image(struct image_store *store, const char *word, bool force,
			struct error **ret_error)
{
	_cleanup_(stored_image_freep) struct stored_image *image = NULL;
	_cleanup_(stored_images_freep) struct stored_image **images = NULL;
	_cleanup_error_ struct error *error = NULL;

	if (image_store_find(store, word, &image, &error) < 0) {
		if (force && error->code == ENOENT)
			return 0;
		if (ret_error)
			*ret_error = TAKE_PTR(error);
		return -1;
	}
	if (image_store_list(store, &images, ret_error) < 0)
		return -1;
	/* One of several names can go in any case. */
	if (!force && (is_id(word, image) || count_names(images, image) == 1) &&
	    check_unused(store, image, word, is_id(word, image), ret_error) < 0)
		return -1;
	if (!is_id(word, image)) {
		if (image_store_remove_name(store, image->name, ret_error) < 0)
			return -1;
		printf("Untagged: %s\n", image->name);
		return 0;
	}
	if (count_names(images, image) > 1 && !force)
		return error_set(
		    ret_error, EBUSY,
		    "image %s has several names: remove them one by one, or use --force", word);
	return remove_all_names(store, images, image, ret_error);
}

static int run_rmi(const struct command *command, struct error **ret_error)
{
	const struct rmi_options *values = command->options;
	_cleanup_(image_store_closep) struct image_store *store = NULL;

	if (image_verb_open(command, &store, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < command->n_args; i++)
		if (remove_image(store, command->args[i], values->force, ret_error) < 0)
			return -1;
	images_tidy(store);
	return 0;
}

const struct verb verb_rmi = {
	.name = "rmi",
	.arguments = "<image> [image...]",
	.summary = "remove images, by name or id",
	.description = "What containers use stays until they are gone.",
	.options = rmi_options,
	.options_size = sizeof(struct rmi_options),
	.min_args = 1,
	.max_args = VERB_ARGS_ANY,
	.run = run_rmi,
};

/* ---- inspect ---- */

static const struct option_def inspect_options[] = { OPTION_END };

/* Members of the configuration, under docker's names. */
static void put_config(struct json_writer *writer, const struct json_at *config)
{
	static const struct {
		const char *from, *to;
	} members[] = {
		{ "created", "Created" },
		{ "author", "Author" },
		{ "architecture", "Architecture" },
		{ "variant", "Variant" },
		{ "os", "Os" },
		{ "config", "Config" },
		{ "history", "History" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		struct json_at at;

		if (json_member(config, members[i].from, JSON_OPTIONAL, &at, NULL) == 0 &&
		    json_present(&at))
			json_put_value(writer, members[i].to, at.value);
	}
}

static void put_names(struct json_writer *writer, struct stored_image *const *images,
		      const struct stored_image *image)
{
	_cleanup_strv_ char **tags = NULL, **digests = NULL;
	static char *const none[] = { NULL };

	for (size_t i = 0; images[i]; i++) {
		if (strcmp(images[i]->manifest_digest, image->manifest_digest) == 0)
			strv_append(strchr(images[i]->name, '@') ? &digests : &tags,
				    images[i]->name);
	}
	json_put_strv(writer, "RepoTags", tags ? tags : none);
	json_put_strv(writer, "RepoDigests", digests ? digests : none);
}

static int put_image(struct json_writer *writer, struct image_store *store, const char *name,
		     struct error **ret_error)
{
	_cleanup_(stored_image_freep) struct stored_image *image = NULL;
	_cleanup_(stored_images_freep) struct stored_image **images = NULL;
	_cleanup_json_ yajl_val value = NULL;
	struct json_at config;

	if (image_store_find(store, name, &image, ret_error) < 0 ||
	    image_store_list(store, &images, ret_error) < 0 ||
	    json_parse(image->config_json, strlen(image->config_json), name, &value, ret_error) < 0)
		return -1;
	config = json_root(value);
	json_begin_object(writer);
	json_put_string(writer, "Id", image->config_digest);
	json_put_string(writer, "Digest",
			image->index_digest ? image->index_digest : image->manifest_digest);
	json_put_string(writer, "Manifest", image->manifest_digest);
	put_names(writer, images, image);
	put_config(writer, &config);
	json_put_uint64(writer, "Size", image->size);
	json_put_key(writer, "RootFS");
	json_begin_object(writer);
	json_put_string(writer, "Type", "layers");
	json_put_strv(writer, "Layers", image->diff_ids);
	json_put_strv(writer, "Images", image->layer_paths);
	json_end_object(writer);
	json_end_object(writer);
	return 0;
}

/* A container comes first, as with docker. */
static int put_one(struct json_writer *writer, const struct command *command,
		   struct image_store *store, const char *name, struct error **ret_error)
{
	_cleanup_error_ struct error *error = NULL;

	if (inspect_container(writer, &command->globals->client, name, &error) == 0)
		return 0;
	return error->code == ENOENT ? put_image(writer, store, name, ret_error)
				     : error_set(ret_error, error->code, "%s", error->message);
}

static int run_inspect(const struct command *command, struct error **ret_error)
{
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	struct json_writer *writer = json_writer_new(true);
	_cleanup_free_ char *text = NULL;
	int status = image_verb_open(command, &store, ret_error);

	json_begin_array(writer);
	for (size_t i = 0; i < command->n_args && status == 0; i++)
		status = put_one(writer, command, store, command->args[i], ret_error);
	json_end_array(writer);
	text = json_writer_finish(writer, NULL);
	if (status == 0)
		printf("%s", text);
	return status;
}

const struct verb verb_inspect = {
	.name = "inspect",
	.arguments = "<container-id>|<image> ...",
	.summary = "print what is known of containers and images, as JSON",
	.options = inspect_options,
	.options_size = 1,
	.min_args = 1,
	.max_args = VERB_ARGS_ANY,
	.run = run_inspect,
};
