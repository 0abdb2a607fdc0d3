/* SPDX-License-Identifier: Apache-2.0 */
/* `list`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "cli/containers.h"
#include "cli/table.h"
#include "cli/verb.h"

struct list_options {
	const char *format;
	bool quiet;
};

static const struct option_def options[] = {
	{ "format", 'f', OPTION_STRING, offsetof(struct list_options, format),
	  "'table' (default) or 'json'" },
	{ "quiet", 'q', OPTION_FLAG, offsetof(struct list_options, quiet), "only container ids" },
	OPTION_END
};

/* A row, the state object's members by name. */
static void add_row(struct table *table, const char *state)
{
	static const char *const columns[] = {
		"id", "pid", "status", "bundle", "created", "owner"
	};
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root, at;

	if (json_parse(state, strlen(state), "state", &value, NULL) < 0)
		return;
	root = json_root(value);
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		if (json_member(&root, columns[i], JSON_REQUIRED, &at, NULL) < 0)
			return;
		table_add(table, YAJL_IS_NUMBER(at.value) ? YAJL_GET_NUMBER(at.value)
							  : YAJL_GET_STRING(at.value));
	}
}

/* Its state object, or NULL: gone meanwhile, or not readable. */
static char *state_of(const char *root, const char *id)
{
	_cleanup_(handle_freep) struct handle *handle = NULL;
	enum container_status status;

	return containers_look(root, id, &handle, &status)
		   ? state_json(handle->state, status, false)
		   : NULL;
}

static void print_json(char *const *states)
{
	if (!states) {
		printf("null\n");
		return;
	}
	for (size_t i = 0; states[i]; i++)
		printf("%s%s", i == 0 ? "[" : ",", states[i]);
	printf("]\n");
}

static void print_table(char *const *states)
{
	static const char *const header[] = { "ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER" };
	struct table table = { .n_columns = ARRAY_SIZE(header) };

	for (size_t i = 0; i < ARRAY_SIZE(header); i++)
		table_add(&table, header[i]);
	for (size_t i = 0; states && states[i]; i++)
		add_row(&table, states[i]);
	table_print(&table, stdout);
	table_done(&table);
}

static int run(const struct command *command, struct error **ret_error)
{
	const struct list_options *values = command->options;
	const char *root = command->globals->client.root;
	_cleanup_strv_ char **states = NULL, **ids = NULL;
	bool json;

	if (options_format(values->format, &json, ret_error) < 0 ||
	    containers_ids(root, &ids, ret_error) < 0)
		return -1;
	for (size_t i = 0; ids && ids[i]; i++) {
		_cleanup_free_ char *state = state_of(root, ids[i]);

		if (state && values->quiet)
			printf("%s\n", ids[i]);
		else if (state)
			strv_append(&states, state);
	}
	if (!values->quiet && json)
		print_json(states);
	else if (!values->quiet)
		print_table(states);
	return 0;
}

const struct verb verb_list = {
	.name = "list",
	.arguments = "",
	.summary = "list the containers below --root",
	.options = options,
	.options_size = sizeof(struct list_options),
	.max_args = 0,
	.run = run,
};
