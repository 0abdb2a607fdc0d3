/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the log of a container's output (protocol/output-log.h): a record for each line of it,
 * with its time and stream, and a new file when one is full. */
#pragma once

#include <stddef.h>

#include "protocol/output-log.h"

struct output_log;

enum output_stream { OUTPUT_STDOUT, OUTPUT_STDERR, OUTPUT_STREAMS };

/* Goes on with the file that is there, whose directories are made. */
int output_log_open(const char *path, const struct output_rule *rule, struct output_log **ret_log,
		    struct error **ret_error);
/* What is left of a character of json-file that was cut off is written, as far as it can be. */
void output_log_close(struct output_log *log);
/* All of it; -1 with errno. */
int output_log_write(struct output_log *log, enum output_stream stream, const void *bytes,
		     size_t size);
