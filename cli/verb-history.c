/* SPDX-License-Identifier: Apache-2.0 */
/* `history`: how an image came about, by what its configuration says (image-spec config.md,
 * "history"). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/plain.h"
#include "cli/images.h"
#include "cli/table.h"

#define SHORT_COMMAND 45
#define NOT_OF_AN_IMAGE "<missing>" /* a step is one only as the last of another image */

struct history_options {
	bool quiet, no_trunc;
	const char *format;
};

static const struct option_def history_options[] = {
	{ "format", 'f', OPTION_STRING, offsetof(struct history_options, format),
	  "'table' (default) or 'json'" },
	{ "quiet", 'q', OPTION_FLAG, offsetof(struct history_options, quiet), "only ids" },
	{ "no-trunc", 0, OPTION_FLAG, offsetof(struct history_options, no_trunc),
	  "whole ids and commands" },
	OPTION_END
};

struct step {
	char *created, *created_by, *comment; /* never NULL */
	uint64_t size;			      /* of the image of its layer */
};

struct steps {
	struct step *steps; /* the oldest first */
	size_t n;
};

static void steps_done(struct steps *steps)
{
	for (size_t i = 0; i < steps->n; i++) {
		free(steps->steps[i].created);
		free(steps->steps[i].created_by);
		free(steps->steps[i].comment);
	}
	free(steps->steps);
}

/* The next layer's, of those that are left: an image may have more steps with layers than layers.
 */
static uint64_t next_size(char *const **layers)
{
	struct stat st;

	if (!**layers)
		return 0;
	return stat(*(*layers)++, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static int read_text(const struct json_at *entry, const char *key, char **ret_text,
		     struct error **ret_error)
{
	if (json_get_string(entry, key, JSON_OPTIONAL, ret_text, ret_error) < 0)
		return -1;
	if (!*ret_text)
		*ret_text = xstrdup("");
	plain_text(*ret_text);
	return 0;
}

static int read_step(const struct json_at *entry, char *const **layers, struct step *step,
		     struct error **ret_error)
{
	bool empty = false;

	if (read_text(entry, "created", &step->created, ret_error) < 0 ||
	    read_text(entry, "created_by", &step->created_by, ret_error) < 0 ||
	    read_text(entry, "comment", &step->comment, ret_error) < 0 ||
	    json_get_bool(entry, "empty_layer", JSON_OPTIONAL, &empty, ret_error) < 0)
		return -1;
	step->size = empty ? 0 : next_size(layers);
	return 0;
}

/* Steps, and behind them the layers that none of them tells of. */
static int read_steps(const struct stored_image *image, struct steps *steps,
		      struct error **ret_error)
{
	char *const *layers = image->layer_paths;
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root, history;
	size_t n;

	if (json_parse(image->config_json, strlen(image->config_json), image->name, &value,
		       ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_array(&root, "history", JSON_OPTIONAL, &history, ret_error) < 0)
		return -1;
	n = json_length(&history);
	steps->steps = xcalloc(n + strv_length(layers) + 1, sizeof(*steps->steps));
	while (steps->n < n) {
		const struct json_at entry = json_element(&history, steps->n);

		/* It counts before it is whole: what it has got is freed. */
		if (read_step(&entry, &layers, &steps->steps[steps->n++], ret_error) < 0)
			return -1;
	}
	while (*layers)
		steps->steps[steps->n++] = (struct step){ .created = xstrdup(""),
							  .created_by = xstrdup(""),
							  .comment = xstrdup(""),
							  .size = next_size(&layers) };
	return 0;
}

/* The image itself is the last step; caller frees. */
static char *id_of(const struct stored_image *image, bool is_last, bool is_whole)
{
	return is_last ? images_id(image, is_whole) : xstrdup(NOT_OF_AN_IMAGE);
}

static void add_row(struct table *table, const struct step *step, const char *id, bool is_whole)
{
	const bool cut = !is_whole && strlen(step->created_by) > SHORT_COMMAND;
	_cleanup_free_ char *size = images_size(step->size);
	_cleanup_free_ char *day = xstrndup(step->created, strcspn(step->created, "T "));
	_cleanup_free_ char *by =
	    xasprintf("%.*s%s", cut ? SHORT_COMMAND - 3 : (int)strlen(step->created_by),
		      step->created_by, cut ? "..." : "");

	table_add(table, id);
	table_add(table, day[0] ? day : "N/A");
	table_add(table, by);
	table_add(table, size);
	table_add(table, step->comment);
}

static void print_table(const struct stored_image *image, const struct steps *steps, bool is_whole)
{
	struct table table = { .n_columns = 5 };

	table_add(&table, "IMAGE");
	table_add(&table, "CREATED");
	table_add(&table, "CREATED BY");
	table_add(&table, "SIZE");
	table_add(&table, "COMMENT");
	for (size_t i = steps->n; i-- > 0;) {
		_cleanup_free_ char *id = id_of(image, i + 1 == steps->n, is_whole);

		add_row(&table, &steps->steps[i], id, is_whole);
	}
	table_print(&table, stdout);
	table_done(&table);
}

static void print_json(const struct stored_image *image, const struct steps *steps)
{
	struct json_writer *writer = json_writer_new(false);
	_cleanup_free_ char *text = NULL;

	json_begin_array(writer);
	for (size_t i = steps->n; i-- > 0;) {
		_cleanup_free_ char *id = id_of(image, i + 1 == steps->n, true);

		json_begin_object(writer);
		json_put_string(writer, "id", id);
		json_put_string(writer, "created", steps->steps[i].created);
		json_put_string(writer, "createdBy", steps->steps[i].created_by);
		json_put_uint64(writer, "size", steps->steps[i].size);
		json_put_string(writer, "comment", steps->steps[i].comment);
		json_end_object(writer);
	}
	json_end_array(writer);
	text = json_writer_finish(writer, NULL);
	printf("%s\n", text);
}

static void print_ids(const struct stored_image *image, const struct steps *steps, bool is_whole)
{
	for (size_t i = steps->n; i-- > 0;) {
		_cleanup_free_ char *id = id_of(image, i + 1 == steps->n, is_whole);

		printf("%s\n", id);
	}
}

static int run_history(const struct command *command, struct error **ret_error)
{
	const struct history_options *values = command->options;
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	_cleanup_(stored_image_freep) struct stored_image *image = NULL;
	_cleanup_(steps_done) struct steps steps = { 0 };
	bool json;

	if (options_format(values->format, &json, ret_error) < 0 ||
	    image_verb_open(command, &store, ret_error) < 0 ||
	    image_store_find(store, command->args[0], &image, ret_error) < 0 ||
	    read_steps(image, &steps, ret_error) < 0)
		return -1;
	if (values->quiet)
		print_ids(image, &steps, values->no_trunc);
	else if (json)
		print_json(image, &steps);
	else
		print_table(image, &steps, values->no_trunc);
	return 0;
}

const struct verb verb_history = {
	.name = "history",
	.arguments = "<image>",
	.summary = "print the steps that an image was made by, the last one first",
	.description = "A size is that of the layer's image in the store.",
	.options = history_options,
	.options_size = sizeof(struct history_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_history,
};
