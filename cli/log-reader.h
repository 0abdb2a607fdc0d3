/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the log of a container's output (protocol/output-log.h), also while it is written. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/output-log.h"

struct log_reader;

struct log_record {
	const char *bytes; /* with the newline, if it has one */
	size_t size;
	uint64_t time_ns; /* since 1970 */
	bool is_error;	  /* of stderr */
	bool begins;	  /* a line of its stream: it is not the rest of one */
};
typedef int (*log_fn)(void *data, const struct log_record *record, struct error **ret_error);

/* At the beginning of the oldest file.  ENOENT: there is no log (yet). */
int log_reader_open(const char *path, const struct output_rule *rule,
		    struct log_reader **ret_reader, struct error **ret_error);
void log_reader_free(struct log_reader *reader);
static inline void log_reader_freep(struct log_reader **reader)
{
	log_reader_free(*reader);
}
/* Calls function for each record that is there by now and has not been read, in the order in which
 * they were written; a line that is not a record is left out. -1: also the function's. */
int log_reader_read(struct log_reader *reader, log_fn function, void *data,
		    struct error **ret_error);
/* To the beginning again of what was there at the opening; to the end of what is there now. */
void log_reader_rewind(struct log_reader *reader);
void log_reader_skip(struct log_reader *reader);

/* "2026-01-02T03:04:05.67Z", with any offset; a date alone, or without its time zone is of UTC;
 * one that is too far away becomes the last there is.  -1: it is something else. */
int log_time_parse(const char *text, uint64_t *ret_ns);
