/* SPDX-License-Identifier: Apache-2.0 */
/* `prune`, `system df`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/images.h"
#include "cli/run-disk.h"
#include "cli/table.h"

struct prune_options {
	bool all, force;
};

static const struct option_def prune_options[] = {
	{ "all", 'a', OPTION_FLAG, offsetof(struct prune_options, all),
	  "also the images that have names, unless a container uses them" },
	{ "force", 'f', OPTION_FLAG, offsetof(struct prune_options, force),
	  "do not ask: never asked anyway" },
	OPTION_END
};

static int run_prune(const struct command *command, struct error **ret_error)
{
	const struct prune_options *values = command->options;
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	_cleanup_free_ char *size = NULL;
	uint64_t bytes;

	if (image_verb_open(command, &store, ret_error) < 0 ||
	    image_store_collect(store, values->all, true, &bytes, ret_error) < 0)
		return -1;
	run_disks_prune(store, &bytes);
	size = images_size(bytes);
	printf("Total reclaimed space: %s\n", size);
	return 0;
}

const struct verb verb_prune = {
	.name = "prune",
	.arguments = "",
	.summary = "remove what of the image store is not used",
	.description = "Waits for pulls that run.",
	.options = prune_options,
	.options_size = sizeof(struct prune_options),
	.max_args = 0,
	.run = run_prune,
};

/* ---- system df ---- */

static const struct option_def system_options[] = { OPTION_END };

static void add_usage(struct table *table, const char *type, uint64_t total, uint64_t active,
		      uint64_t bytes, uint64_t reclaimable)
{
	_cleanup_free_ char *n = xasprintf("%llu", (unsigned long long)total);
	_cleanup_free_ char *m = xasprintf("%llu", (unsigned long long)active);
	_cleanup_free_ char *size = images_size(bytes), *gain = images_size(reclaimable);

	table_add(table, type);
	table_add(table, n);
	table_add(table, m);
	table_add(table, size);
	table_add(table, gain);
}

static int run_system(const struct command *command, struct error **ret_error)
{
	static const char *const header[] = { "TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE" };
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	struct table table = { .n_columns = ARRAY_SIZE(header) };
	struct store_usage usage;

	if (strcmp(command->args[0], "df") != 0)
		return error_set(ret_error, EINVAL, "system: unknown command \"%s\" (known: df)",
				 command->args[0]);
	if (image_verb_open(command, &store, ret_error) < 0 ||
	    image_store_usage(store, &usage, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(header); i++)
		table_add(&table, header[i]);
	add_usage(&table, "Images", usage.images, usage.held,
		  usage.layers_bytes + usage.blobs_bytes, usage.unheld_bytes);
	table_print(&table, stdout);
	table_done(&table);
	return 0;
}

const struct verb verb_system = {
	.name = "system",
	.arguments = "df",
	.summary = "show what the image store takes on disk",
	.options = system_options,
	.options_size = 1,
	.min_args = 1,
	.max_args = 1,
	.run = run_system,
};
