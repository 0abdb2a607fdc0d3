/* SPDX-License-Identifier: Apache-2.0 */
/* The containers below --root: see containers.h. */
#include "cli/containers.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/plain.h"
#include "base/utf8.h"
#include "cli/container-words.h"
#include "cli/health.h"
#include "cli/run-again.h"
#include "cli/run-image.h"
#include "cli/run-restart.h"
#include "cli/table.h"
#include "runtime-spec/spec.h"

#define COMMAND_MAX 20

static int visible(const struct dirent *entry)
{
	return state_check_id(entry->d_name, NULL) == 0;
}

int containers_ids(const char *root, char ***ret_ids, struct error **ret_error)
{
	struct dirent **entries = NULL;
	const int n = scandir(root, &entries, visible, alphasort);

	if (n < 0 && errno != ENOENT)
		return error_set_errno(ret_error, errno, "cannot read %s", root);
	*ret_ids = NULL;
	for (int i = 0; i < n; i++) {
		strv_append(ret_ids, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return 0;
}

/* False: gone, or no directory at all. */
static bool is_directory(const char *root, const char *id)
{
	_cleanup_free_ char *path = state_path(root, id, NULL);
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool containers_look(const char *root, const char *id, struct handle **ret_handle,
		     enum container_status *ret_status)
{
	_cleanup_(handle_freep) struct handle *handle = NULL;
	_cleanup_error_ struct error *error = NULL;

	if (handle_open(root, id, &handle, &error) < 0 ||
	    handle_status(handle, ret_status, &error) < 0) {
		if (error->code != ENOENT)
			log_warning("container %s: %s", id, error->message);
		else if (is_directory(root, id)) /* runc's words */
			(void)fprintf(stderr, "load container %s: container does not exist\n", id);
		return false;
	}
	*ret_handle = TAKE_PTR(handle);
	return true;
}

/* What others wrote goes to a terminal. */
static void add_plain(struct table *table, const char *text)
{
	_cleanup_free_ char *copy = xstrdup(text ? text : "");

	plain_text(copy);
	table_add(table, copy);
}

/* It has ended, or is being made once more. */
static bool is_restarting(const struct handle *handle, enum container_status status)
{
	const struct client client = { .root = handle->root };

	return (status == STATUS_STOPPED || status == STATUS_CREATING) &&
	       restart_is_watched(&client, handle->id);
}

/* A container of a bundle has none that we know of, nor one that does not run. */
static void add_ports(struct table *table, const struct handle *handle,
		      enum container_status status)
{
	const struct client client = { .root = handle->root };
	_cleanup_network_options_ struct network_options network = { 0 };
	_cleanup_free_ char *text = NULL;

	if ((status == STATUS_RUNNING || status == STATUS_PAUSED) &&
	    run_again_network(&client, handle->id, &network, NULL) == 0)
		text = words_of_ports(&network);
	table_add(table, text ? text : "");
}

/* As docker says it in parentheses. */
static const char *health_words(const struct handle *handle)
{
	const char *status = health_look(handle->root, handle->id);

	return status && strcmp(status, "starting") == 0 ? "health: starting" : status;
}

/* As docker: COMMAND_MAX characters, the last of which says that there are more. */
static void shorten(char **text)
{
	size_t at = 0, before_last = 0, n = 0;
	char *shorter;

	for (; (*text)[at] && n < COMMAND_MAX; n++) {
		const size_t size = utf8_size(*text + at, strlen(*text + at));

		before_last = at;
		at += size ? size : 1;
	}
	if (!(*text)[at])
		return;
	shorter = xasprintf("%.*s…", (int)before_last, *text);
	free(*text);
	*text = shorter;
}

static void add_row(struct table *table, const struct handle *handle, enum container_status status,
		    bool restarting)
{
	const char *config = handle->state->config;
	const time_t created = (time_t)(handle->state->created_ns / NS_PER_SECOND);
	_cleanup_(spec_freep) struct spec *spec = NULL;
	_cleanup_free_ char *command = NULL, *words = NULL;
	char time[32] = "";
	struct tm tm;

	if (config && spec_parse(config, strlen(config), &spec, NULL) == 0 && spec->process.args)
		command = strv_join(spec->process.args, " ");
	if (command)
		shorten(&command);
	if (localtime_r(&created, &tm))
		(void)strftime(time, sizeof(time), "%Y-%m-%d %H:%M:%S", &tm);
	table_add(table, handle->id);
	add_plain(table, spec ? spec_annotation(spec, ANNOTATION_IMAGE) : NULL);
	add_plain(table, command);
	table_add(table, time);
	words = words_of_status(handle, status, restarting, health_words(handle));
	table_add(table, words);
	add_ports(table, handle, status);
}

static void add_one(const char *root, const char *id, bool all, bool quiet, struct table *table)
{
	_cleanup_(handle_freep) struct handle *handle = NULL;
	enum container_status status;
	bool restarting;

	if (!containers_look(root, id, &handle, &status))
		return;
	restarting = is_restarting(handle, status);
	if (!all && status != STATUS_RUNNING && status != STATUS_PAUSED && !restarting)
		return;
	if (quiet)
		printf("%s\n", id);
	else
		add_row(table, handle, status, restarting);
}

int containers_print(const char *root, bool all, bool quiet, struct error **ret_error)
{
	static const char *const header[] = { "CONTAINER ID", "IMAGE",	"COMMAND",
					      "CREATED",      "STATUS", "PORTS" };
	struct table table = { .n_columns = ARRAY_SIZE(header) };
	_cleanup_strv_ char **ids = NULL;

	if (containers_ids(root, &ids, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(header); i++)
		table_add(&table, header[i]);
	for (size_t i = 0; ids && ids[i]; i++)
		add_one(root, ids[i], all, quiet, &table);
	if (!quiet)
		table_print(&table, stdout);
	table_done(&table);
	return 0;
}
