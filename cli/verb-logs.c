/* SPDX-License-Identifier: Apache-2.0 */
/* `logs`: what a detached container of an image has written, each stream to ours. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/parse.h"
#include "cli/log-reader.h"
#include "cli/run-again.h"
#include "cli/verb.h"
#include "client/handle.h"

#define FOLLOW_NS 200000000L
#define NS_PER_MS 1000000

struct logs_options {
	bool follow, timestamps;
	const char *tail, *since, *until;
};
#define FIELD(name) offsetof(struct logs_options, name)

static const struct option_def options[] = {
	{ "details", 0, OPTION_IGNORED_FLAG, 0, "show extra attributes, of which there are none" },
	{ "follow", 'f', OPTION_FLAG, FIELD(follow), "go on until the container has ended" },
	{ "since", 0, OPTION_STRING, FIELD(since),
	  "begin at a time (2026-01-02T13:23:37Z), or so long ago (42m)" },
	{ "tail", 'n', OPTION_STRING, FIELD(tail),
	  "begin with so many lines at the end (default: all)" },
	{ "timestamps", 't', OPTION_FLAG, FIELD(timestamps), "show when each line was written" },
	{ "until", 0, OPTION_STRING, FIELD(until), "end before a time, or so long ago" },
	OPTION_END
};

struct shown {
	uint64_t since_ns, until_ns;
	uint64_t n_lines, n_skipped; /* counted; of those, how many are not shown */
	bool timestamps;
	FILE *last; /* the stream of the last one */
};

/* A time, seconds since 1970 or a duration up to now, as docker's. */
static int parse_time(const char *option, const char *word, uint64_t *ret_ns,
		      struct error **ret_error)
{
	uint64_t value;

	if (!word || log_time_parse(word, ret_ns) == 0)
		return 0;
	if (parse_number(word, &value) == 0 && value <= INT64_MAX / NS_PER_SECOND) {
		*ret_ns = value * NS_PER_SECOND;
		return 0;
	}
	if (parse_duration(word, &value, NULL) == 0 && value <= INT64_MAX / NS_PER_MS) {
		const uint64_t now = clock_realtime_ns(), ago = value * NS_PER_MS;

		*ret_ns = now > ago ? now - ago : 0;
		return 0;
	}
	return error_set(ret_error, EINVAL,
			 "--%s %s: must be a time as 2026-01-02T13:23:37Z, seconds since 1970, or "
			 "a duration as 42m",
			 option, word);
}

/* ---- records ---- */

static bool is_wanted(const struct shown *shown, const struct log_record *record)
{
	return record->time_ns >= shown->since_ns && record->time_ns < shown->until_ns;
}

static int count(void *data, const struct log_record *record, struct error **ret_error)
{
	struct shown *shown = data;

	(void)ret_error;
	shown->n_lines += record->begins && is_wanted(shown, record);
	return 0;
}

/* In the order in which they came, if both streams are one file. */
static FILE *stream_for(struct shown *shown, const struct log_record *record)
{
	FILE *stream = record->is_error ? stderr : stdout;

	if (shown->last && shown->last != stream)
		(void)fflush(shown->last);
	shown->last = stream;
	return stream;
}

static int show(void *data, const struct log_record *record, struct error **ret_error)
{
	struct shown *shown = data;
	char time[CLOCK_RFC3339_SIZE];
	FILE *stream;

	if (!is_wanted(shown, record))
		return 0;
	/* (The rest of a line that was skipped comes before the next line of its stream.) */
	if (shown->n_skipped > 0) {
		shown->n_skipped -= record->begins;
		return 0;
	}
	stream = stream_for(shown, record);
	if (shown->timestamps && record->begins) {
		clock_rfc3339(record->time_ns, time);
		(void)fprintf(stream, "%s ", time);
	}
	if (fwrite(record->bytes, 1, record->size, stream) < record->size)
		return error_set_errno(ret_error, errno, "cannot write the output");
	return 0;
}

/* "all", or a number: of the lines that are there now, so many are skipped. */
static int skip_lines(struct log_reader *reader, const char *tail, struct shown *shown,
		      struct error **ret_error)
{
	uint64_t lines;

	if (!tail || strcmp(tail, "all") == 0)
		return 0;
	if (parse_number(tail, &lines) < 0)
		return error_set(ret_error, EINVAL, "--tail %s: must be a number of lines, or all",
				 tail);
	if (lines == 0) {
		log_reader_skip(reader);
		return 0;
	}
	if (log_reader_read(reader, count, shown, ret_error) < 0)
		return -1;
	log_reader_rewind(reader);
	shown->n_skipped = shown->n_lines > lines ? shown->n_lines - lines : 0;
	return 0;
}

/* ---- */

static bool has_ended(const char *root, const char *id)
{
	_cleanup_(handle_freep) struct handle *handle = NULL;
	enum container_status status;

	return handle_open(root, id, &handle, NULL) < 0 ||
	       handle_status(handle, &status, NULL) < 0 || status == STATUS_STOPPED;
}

static int show_all(struct log_reader *reader, const struct command *command, struct shown *shown,
		    struct error **ret_error)
{
	const struct logs_options *values = command->options;
	const struct timespec pause = { .tv_nsec = FOLLOW_NS };
	bool last;

	do {
		/* Asked before: what is written until then is shown. */
		last = !values->follow || clock_realtime_ns() >= shown->until_ns ||
		       has_ended(command->globals->client.root, command->args[0]);
		if (log_reader_read(reader, show, shown, ret_error) < 0)
			return -1;
		if (fflush(stdout) != 0)
			return error_set_errno(ret_error, errno, "cannot write the output");
		if (!last)
			(void)nanosleep(&pause, NULL);
	} while (!last);
	return 0;
}

static int run(const struct command *command, struct error **ret_error)
{
	const struct logs_options *values = command->options;
	const char *root = command->globals->client.root, *id = command->args[0];
	_cleanup_(handle_freep) struct handle *handle = NULL;
	_cleanup_(log_reader_freep) struct log_reader *reader = NULL;
	struct shown shown = { .until_ns = UINT64_MAX, .timestamps = values->timestamps };

	if (parse_time("since", values->since, &shown.since_ns, ret_error) < 0 ||
	    parse_time("until", values->until, &shown.until_ns, ret_error) < 0 ||
	    handle_open(root, id, &handle, ret_error) < 0 ||
	    run_again_reader(&command->globals->client, id, NULL, &reader, ret_error) < 0 ||
	    skip_lines(reader, values->tail, &shown, ret_error) < 0)
		return -1;
	return show_all(reader, command, &shown, ret_error);
}

const struct verb verb_logs = {
	.name = "logs",
	.arguments = "<container-id>",
	.summary = "show what a detached container of an image has written",
	.options = options,
	.options_size = sizeof(struct logs_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
