/* SPDX-License-Identifier: Apache-2.0 */
/* What a container is otherwise than its image: see run-changes.h. */
#include "cli/run-changes.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "cli/run-env.h"

/* "CMD [\"a\",\"b\"]" */
static void add_words(char ***changes, const char *instruction, const char *const *words)
{
	struct json_writer *writer = json_writer_new(false);
	_cleanup_free_ char *list = NULL, *change = NULL;

	json_begin_array(writer);
	for (; words && *words; words++)
		json_put_string(writer, NULL, *words);
	json_end_array(writer);
	list = json_writer_finish(writer, NULL);
	change = xasprintf("%s %s", instruction, list);
	strv_append(changes, change);
}

static void add_text(char ***changes, const char *instruction, const char *text)
{
	_cleanup_free_ char *change = NULL;

	if (!text || !text[0])
		return;
	change = xasprintf("%s %s", instruction, text);
	strv_append(changes, change);
}

/* One pair of quotation marks is taken off again. */
static void add_pairs(char ***changes, const char *instruction, char *const *pairs)
{
	for (; pairs && *pairs; pairs++) {
		const size_t key = strcspn(*pairs, "=");
		_cleanup_free_ char *change =
		    xasprintf("%s %.*s=\"%s\"", instruction, (int)key, *pairs,
			      (*pairs)[key] ? *pairs + key + 1 : "");

		strv_append(changes, change);
	}
}

static int add_env(const struct run_options *options, char ***changes, struct error **ret_error)
{
	_cleanup_strv_ char **env = NULL;

	if (env_put_words(&env, options->env, ret_error) < 0)
		return -1;
	add_pairs(changes, "ENV", env);
	return 0;
}

/* An entry point of the command line is without the image's command. */
static void add_command(const struct run_options *options, const char *const *args, char ***changes)
{
	const char *const entrypoint[] = { options->entrypoint, NULL };

	if (options->entrypoint)
		add_words(changes, "ENTRYPOINT", options->entrypoint[0] ? entrypoint : NULL);
	if (args[0])
		add_words(changes, "CMD", args);
}

/* --volume PATH, which has no name on the host, as docker has it. */
static void add_volumes(const struct run_options *options, char ***changes)
{
	for (const char *const *word = options->volumes; word && *word; word++) {
		const char *const path[] = { *word, NULL };

		if (!strchr(*word, ':'))
			add_words(changes, "VOLUME", path);
	}
}

int run_changes(const struct run_options *options, const char *const *args,
		const struct run_request *request, char ***ret_changes, struct error **ret_error)
{
	if (add_env(options, ret_changes, ret_error) < 0)
		return -1;
	add_command(options, args, ret_changes);
	add_text(ret_changes, "USER", options->user);
	add_text(ret_changes, "WORKDIR", options->workdir);
	add_text(ret_changes, "STOPSIGNAL", options->stop_signal);
	add_pairs(ret_changes, "LABEL", request->labels);
	add_volumes(options, ret_changes);
	if (options->exposed)
		add_words(ret_changes, "EXPOSE", options->exposed);
	return 0;
}
