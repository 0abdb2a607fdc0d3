/* SPDX-License-Identifier: Apache-2.0 */
/* Where the output of a detached container of an image goes: --log-driver and --log-opt. */
#pragma once

#include "base/json.h"
#include "cli/run-options.h"
#include "protocol/output-log.h"

/* Usually: ROOT/ID/RUN_LOG_FILE, which is in a tmpfs, so its size has a bound. */
#define RUN_LOG_FILE "output.log"

struct run_log {
	char *path; /* NULL: the output is not kept */
	struct output_rule rule;
};

void run_log_done(struct run_log *log);
/* By the options, whose errors read as docker's; ENOTSUP: a driver that is not there. */
int run_log_read(const struct run_options *options, const char *root, const char *id,
		 struct run_log *ret_log, struct error **ret_error);
/* As a member of the object that is being written; from such an object: without the member it is
 * as usual. */
void run_log_put(struct json_writer *writer, const struct run_log *log);
int run_log_get(const struct json_at *object, const char *root, const char *id,
		struct run_log *ret_log, struct error **ret_error);
/* That of another container: the same, in its own directory. */
void run_log_like(const struct run_log *log, const char *root, const char *id,
		  struct run_log *ret_log);
