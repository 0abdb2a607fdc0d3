/* SPDX-License-Identifier: Apache-2.0 */
/* `volume create|ls|rm|inspect|prune`, with docker's words and outputs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "cli/images.h"
#include "cli/run-volumes.h"
#include "cli/table.h"
#include "host/volumes.h"

#define DRIVER "local"

struct volume_options {
	bool all, force, quiet;
	const char **labels;
};

static const struct option_def options[] = {
	{ "all", 'a', OPTION_FLAG, offsetof(struct volume_options, all),
	  "prune: also those with a name" },
	{ "force", 'f', OPTION_FLAG, offsetof(struct volume_options, force),
	  "rm: no error if it is not there; prune: do not ask, never asked anyway" },
	{ "quiet", 'q', OPTION_FLAG, offsetof(struct volume_options, quiet), "ls: only names" },
	{ "label", 0, OPTION_STRINGS, offsetof(struct volume_options, labels),
	  "create: KEY=VALUE, kept with the volume" },
	{ "driver", 'd', OPTION_REFUSED, 0, "a volume is a directory of the image store" },
	{ "opt", 'o', OPTION_REFUSED, 0, "a volume is a directory of the image store" },
	{ "filter", 0, OPTION_REFUSED, 0, "" },
	{ "format", 0, OPTION_REFUSED, 0, "" },
	OPTION_END
};

/* ---- create ---- */

static int create(const struct command *command, const char *directory, struct error **ret_error)
{
	const struct volume_options *values = command->options;
	_cleanup_free_ char *name = xstrdup(command->args[1]);
	const bool anonymous = !name;

	for (const char *const *label = values->labels; label && *label; label++)
		if ((*label)[0] == '=' || (*label)[0] == '\0')
			return error_set(ret_error, EINVAL, "--label %s: write KEY=VALUE", *label);
	if ((anonymous && volumes_random_name(&name, ret_error) < 0) ||
	    volumes_make(directory, name, anonymous, (char *const *)values->labels, ret_error) < 0)
		return -1;
	printf("%s\n", name);
	return 0;
}

/* ---- ls ---- */

static int list(const struct command *command, const char *directory, struct error **ret_error)
{
	const struct volume_options *values = command->options;
	struct table table = { .n_columns = 2 };
	_cleanup_strv_ char **names = NULL;

	if (volumes_names(directory, &names, ret_error) < 0)
		return -1;
	table_add(&table, "DRIVER");
	table_add(&table, "VOLUME NAME");
	for (char **name = names; name && *name; name++) {
		if (values->quiet)
			printf("%s\n", *name);
		table_add(&table, DRIVER);
		table_add(&table, *name);
	}
	if (!values->quiet)
		table_print(&table, stdout);
	table_done(&table);
	return 0;
}

/* ---- inspect ---- */

static void put_entry(struct json_writer *writer, const struct volumes_entry *entry)
{
	char created[CLOCK_RFC3339_SIZE];

	clock_rfc3339(entry->created * NS_PER_SECOND, created);
	json_begin_object(writer);
	json_put_string(writer, "CreatedAt", created);
	json_put_string(writer, "Driver", DRIVER);
	json_put_key(writer, "Labels");
	json_begin_object(writer);
	for (char **label = entry->labels; label && *label; label++) {
		const char *equals = strchr(*label, '=');
		_cleanup_free_ char *key = xstrndup(*label, strcspn(*label, "="));

		json_put_string(writer, key, equals ? equals + 1 : "");
	}
	json_end_object(writer);
	json_put_string(writer, "Mountpoint", entry->path);
	json_put_string(writer, "Name", entry->name);
	json_put_key(writer, "Options");
	json_begin_object(writer);
	json_end_object(writer);
	json_put_string(writer, "Scope", DRIVER);
	json_end_object(writer);
}

/* Those that are there are printed, too. */
static int inspect(const struct command *command, const char *directory, struct error **ret_error)
{
	struct json_writer *writer = json_writer_new(true);
	_cleanup_free_ char *text = NULL;
	int result = 0;

	json_begin_array(writer);
	for (size_t i = 1; i < command->n_args; i++) {
		_cleanup_(volumes_entry_freep) struct volumes_entry *entry = NULL;
		struct error *error = NULL;

		if (volumes_find(directory, command->args[i], &entry, &error) == 0) {
			put_entry(writer, entry);
			continue;
		}
		if (result < 0)
			log_error("%s", (*ret_error)->message);
		if (result < 0)
			error_free(*ret_error);
		*ret_error = error;
		result = -1;
	}
	json_end_array(writer);
	text = json_writer_finish(writer, NULL);
	printf("%s\n", text);
	return result;
}

/* ---- rm ---- */

/* One that fails does not keep the others from it. */
static int remove_all(const struct command *command, const char *directory,
		      struct error **ret_error)
{
	const struct volume_options *values = command->options;
	int result = 0;

	for (size_t i = 1; i < command->n_args; i++) {
		struct error *error = NULL;

		if (volumes_remove(directory, command->args[i], &error) == 0) {
			printf("%s\n", command->args[i]);
			continue;
		}
		if (error->code == ENOENT && values->force) {
			error_free(error);
			continue;
		}
		if (result < 0) {
			log_error("%s", (*ret_error)->message);
			error_free(*ret_error);
		}
		*ret_error = error;
		result = -1;
	}
	return result;
}

/* ---- prune ---- */

static void tell_removed(void *data, const char *name)
{
	bool *any = data;

	printf("%s%s\n", *any ? "" : "Deleted Volumes:\n", name);
	*any = true;
}

static int prune(const struct command *command, const char *directory, struct error **ret_error)
{
	const struct volume_options *values = command->options;
	_cleanup_free_ char *size = NULL;
	uint64_t bytes = 0;
	bool any = false;

	if (volumes_prune(directory, values->all, tell_removed, &any, &bytes, ret_error) < 0)
		return -1;
	size = images_size(bytes);
	printf("%sTotal reclaimed space: %s\n", any ? "\n" : "", size);
	return 0;
}

/* ---- the verb ---- */

struct subcommand {
	const char *name;
	size_t min_args, max_args;
	const char *options; /* the letters of those that it has; 'l': --label */
	int (*run)(const struct command *command, const char *directory, struct error **ret_error);
};

static const struct subcommand subcommands[] = {
	{ "create", 0, 1, "l", create },
	{ "inspect", 1, VERB_ARGS_ANY, "", inspect },
	{ "list", 0, 0, "q", list },
	{ "ls", 0, 0, "q", list },
	{ "prune", 0, 0, "af", prune },
	{ "remove", 1, VERB_ARGS_ANY, "f", remove_all },
	{ "rm", 1, VERB_ARGS_ANY, "f", remove_all },
};

static int check_options(const struct subcommand *subcommand, const struct volume_options *values,
			 struct error **ret_error)
{
	const struct {
		const char *name;
		char letter;
		bool given;
	} given[] = {
		{ "all", 'a', values->all },
		{ "force", 'f', values->force },
		{ "quiet", 'q', values->quiet },
		{ "label", 'l', values->labels != NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(given); i++)
		if (given[i].given && !strchr(subcommand->options, given[i].letter))
			return error_set(ret_error, EINVAL, "volume %s has no --%s",
					 subcommand->name, given[i].name);
	return 0;
}

static int run(const struct command *command, struct error **ret_error)
{
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	_cleanup_free_ char *directory = NULL;
	const struct subcommand *found = NULL;
	const size_t n = command->n_args - 1;

	for (size_t i = 0; i < ARRAY_SIZE(subcommands); i++)
		if (strcmp(command->args[0], subcommands[i].name) == 0)
			found = &subcommands[i];
	if (!found)
		return error_set(ret_error, EINVAL,
				 "volume: unknown command \"%s\" (known: create, inspect, ls, "
				 "prune, rm)",
				 command->args[0]);
	if (n < found->min_args || n > found->max_args)
		return error_set(ret_error, EINVAL, "volume %s: requires %s %zu argument(s)",
				 found->name, n < found->min_args ? "at least" : "at most",
				 n < found->min_args ? found->min_args : found->max_args);
	if (check_options(found, command->options, ret_error) < 0 ||
	    image_verb_open(command, &store, ret_error) < 0)
		return -1;
	directory = run_volumes_directory(store);
	return found->run(command, directory, ret_error);
}

const struct verb verb_volume = {
	.name = "volume",
	.arguments = "create [name] | ls | inspect <name>... | rm <name>... | prune",
	.summary = "volumes: directories that outlive containers",
	.description =
	    "A volume is made by `create`, or by `run -v NAME:PATH`. Those without a name, which\n"
	    "   `run -v PATH` and images make, go with their container (`run --rm`, `rm -v`) or "
	    "by\n"
	    "   `prune`. One that a container uses, even one that has ended, is not removed.",
	.options = options,
	.options_size = sizeof(struct volume_options),
	.min_args = 1,
	.max_args = VERB_ARGS_ANY,
	.run = run,
};
