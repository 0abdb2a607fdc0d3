/* SPDX-License-Identifier: Apache-2.0 */
/* `stats`: what containers use, as docker-stats(1) shows it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/containers.h"
#include "cli/images.h"
#include "cli/stats.h"
#include "cli/table.h"
#include "cli/verb.h"

#define INTERVAL_S 1
/* The cursor to the top left, and nothing behind it. */
#define CLEAR "\033[H\033[J"

struct stats_options {
	bool all, no_stream;
	const char *format;
};
#define FIELD(name) offsetof(struct stats_options, name)

static const struct option_def options[] = {
	{ "all", 'a', OPTION_FLAG, FIELD(all), "also containers that do not run" },
	{ "format", 0, OPTION_STRING, FIELD(format),
	  "'table' (default) or 'json', a line for each" },
	{ "no-stream", 0, OPTION_FLAG, FIELD(no_stream), "once, not every second" },
	{ "no-trunc", 0, OPTION_IGNORED_FLAG, 0, "do not shorten" },
	OPTION_END
};

/* A container at two moments. */
struct sample {
	char *id;
	bool runs;
	Task__Metrics *metrics; /* NULL: it does not, or they cannot be had */
	uint64_t cpu_usec, taken_ns;
	double cpu_percent;
};

struct samples {
	struct sample *samples;
	size_t n;
};

static void samples_done(struct samples *samples)
{
	for (size_t i = 0; i < samples->n; i++) {
		free(samples->samples[i].id);
		if (samples->samples[i].metrics)
			protobuf_c_message_free_unpacked(&samples->samples[i].metrics->base, NULL);
	}
	free(samples->samples);
	*samples = (struct samples){ 0 };
}

static void take(const char *root, struct sample *sample)
{
	_cleanup_(handle_freep) struct handle *handle = NULL;
	const uint64_t before_usec = sample->cpu_usec, before_ns = sample->taken_ns;
	enum container_status status;

	if (sample->metrics)
		protobuf_c_message_free_unpacked(&sample->metrics->base, NULL);
	sample->metrics = NULL;
	sample->runs = containers_look(root, sample->id, &handle, &status) &&
		       (status == STATUS_RUNNING || status == STATUS_PAUSED);
	if (!sample->runs || stats_get(handle, &sample->metrics, NULL) < 0)
		return;
	sample->taken_ns = clock_monotonic_ns();
	sample->cpu_usec = sample->metrics->cpu ? sample->metrics->cpu->usage_usec : 0;
	if (before_ns && sample->taken_ns > before_ns && sample->cpu_usec >= before_usec)
		sample->cpu_percent = (double)(sample->cpu_usec - before_usec) * 1e5 /
				      (double)(sample->taken_ns - before_ns);
}

/* Those that are asked for, or all.  An earlier sample of one stays its first. */
static int choose(const struct command *command, struct samples *samples, struct error **ret_error)
{
	const bool asked = command->n_args > 0;
	_cleanup_strv_ char **all = NULL;
	struct samples chosen = { 0 };

	if (!asked && containers_ids(command->globals->client.root, &all, ret_error) < 0)
		return -1;
	for (const char *const *id = asked ? command->args : (const char *const *)all; id && *id;
	     id++) {
		struct sample sample = { .id = xstrdup(*id) };

		for (size_t i = 0; i < samples->n; i++)
			if (strcmp(samples->samples[i].id, *id) == 0) {
				sample.cpu_usec = samples->samples[i].cpu_usec;
				sample.taken_ns = samples->samples[i].taken_ns;
			}
		chosen.samples =
		    xreallocarray(chosen.samples, chosen.n + 1, sizeof(*chosen.samples));
		chosen.samples[chosen.n++] = sample;
	}
	samples_done(samples);
	*samples = chosen;
	return 0;
}

/* ---- what is shown ---- */

enum column { CPU, MEMORY, MEMORY_PERCENT, NET_IO, BLOCK_IO, PIDS, N_COLUMNS };
static const struct {
	const char *title, *key;
} columns[N_COLUMNS] = {
	[CPU] = { "CPU %", "CPUPerc" },
	[MEMORY] = { "MEM USAGE / LIMIT", "MemUsage" },
	[MEMORY_PERCENT] = { "MEM %", "MemPerc" },
	[NET_IO] = { "NET I/O", "NetIO" },
	[BLOCK_IO] = { "BLOCK I/O", "BlockIO" },
	[PIDS] = { "PIDS", "PIDs" },
};

/* Docker's for memory: units of 1024, four digits. */
static char *memory_size(uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1024;
		unit++;
	}
	return xasprintf("%.4g%s", value, units[unit]);
}

/* As docker counts: without what can be had back at once. */
static uint64_t memory_used(const Task__MemoryStat *memory)
{
	return memory->usage > memory->inactive_file ? memory->usage - memory->inactive_file : 0;
}

static char *memory_text(const Task__MemoryStat *memory)
{
	_cleanup_free_ char *used = memory_size(memory_used(memory));
	_cleanup_free_ char *limit =
	    memory->usage_limit < INT64_MAX ? memory_size(memory->usage_limit) : xstrdup("--");

	return xasprintf("%s / %s", used, limit);
}

static char *block_text(const Task__Metrics *metrics)
{
	_cleanup_free_ char *in = NULL, *out = NULL;
	uint64_t read = 0, written = 0;

	for (size_t i = 0; metrics->io && i < metrics->io->n_usage; i++) {
		read += metrics->io->usage[i]->rbytes;
		written += metrics->io->usage[i]->wbytes;
	}
	in = images_size(read);
	out = images_size(written);
	return xasprintf("%s / %s", in, out);
}

/* Caller frees.  "--": it is not known, as docker says. */
static char *cell(const struct sample *sample, enum column column)
{
	static const Task__MemoryStat none = TASK__MEMORY_STAT__INIT;
	const Task__Metrics *metrics = sample->metrics;
	const Task__MemoryStat *memory = metrics && metrics->memory ? metrics->memory : &none;

	if (!metrics)
		return xstrdup(
		    column == MEMORY || column == BLOCK_IO || column == NET_IO ? "-- / --" : "--");
	switch (column) {
	case CPU:
		return xasprintf("%.2f%%", sample->cpu_percent);
	case MEMORY:
		return memory_text(memory);
	case MEMORY_PERCENT:
		if (memory->usage_limit == 0 || memory->usage_limit >= INT64_MAX)
			break;
		return xasprintf("%.2f%%",
				 100.0 * (double)memory_used(memory) / (double)memory->usage_limit);
	case BLOCK_IO:
		return block_text(metrics);
	case PIDS:
		return xasprintf("%llu",
				 (unsigned long long)(metrics->pids ? metrics->pids->current : 0));
	case NET_IO: /* the machine's, whose interfaces others may share */
		return xstrdup("-- / --");
	case N_COLUMNS:
		break;
	}
	return xstrdup("--");
}

static void print_table(const struct samples *samples, bool all)
{
	struct table table = { .n_columns = 2 + N_COLUMNS };

	table_add(&table, "CONTAINER ID");
	table_add(&table, "NAME");
	for (size_t i = 0; i < N_COLUMNS; i++)
		table_add(&table, columns[i].title);
	for (size_t i = 0; i < samples->n; i++) {
		if (!all && !samples->samples[i].runs)
			continue;
		table_add(&table, samples->samples[i].id);
		table_add(&table, samples->samples[i].id);
		for (size_t k = 0; k < N_COLUMNS; k++) {
			_cleanup_free_ char *text = cell(&samples->samples[i], (enum column)k);

			table_add(&table, text);
		}
	}
	table_print(&table, stdout);
	table_done(&table);
}

static void print_json(const struct samples *samples, bool all)
{
	for (size_t i = 0; i < samples->n; i++) {
		struct json_writer *writer;
		_cleanup_free_ char *line = NULL;

		if (!all && !samples->samples[i].runs)
			continue;
		writer = json_writer_new(false);
		json_begin_object(writer);
		json_put_string(writer, "Container", samples->samples[i].id);
		json_put_string(writer, "ID", samples->samples[i].id);
		json_put_string(writer, "Name", samples->samples[i].id);
		for (size_t k = 0; k < N_COLUMNS; k++) {
			_cleanup_free_ char *text = cell(&samples->samples[i], (enum column)k);

			json_put_string(writer, columns[k].key, text);
		}
		json_end_object(writer);
		line = json_writer_finish(writer, NULL);
		printf("%s\n", line);
	}
}

static int check_names(const struct command *command, struct error **ret_error)
{
	for (size_t i = 0; i < command->n_args; i++) {
		_cleanup_(handle_freep) struct handle *handle = NULL;

		if (handle_open(command->globals->client.root, command->args[i], &handle,
				ret_error) < 0)
			return -1;
	}
	return 0;
}

static int run(const struct command *command, struct error **ret_error)
{
	const struct stats_options *values = command->options;
	const struct timespec interval = { .tv_sec = INTERVAL_S };
	_cleanup_(samples_done) struct samples samples = { 0 };
	/* Those that do not run, too. */
	const bool all = values->all || command->n_args > 0;
	bool json;

	if (options_format(values->format, &json, ret_error) < 0 ||
	    check_names(command, ret_error) < 0)
		return -1;
	for (bool is_first = true;; is_first = false) {
		if (choose(command, &samples, ret_error) < 0)
			return -1;
		for (size_t i = 0; i < samples.n; i++)
			take(command->globals->client.root, &samples.samples[i]);
		/* What the CPU was used for takes two. */
		if (!is_first) {
			if (!values->no_stream && !json)
				printf(CLEAR);
			(json ? print_json : print_table)(&samples, all);
			if (fflush(stdout) != 0 || values->no_stream)
				return 0;
		}
		(void)nanosleep(&interval, NULL);
	}
}

const struct verb verb_stats = {
	.name = "stats",
	.arguments = "[container-id...]",
	.summary = "show what containers use, every second",
	.options = options,
	.options_size = sizeof(struct stats_options),
	.max_args = VERB_ARGS_ANY,
	.run = run,
};
