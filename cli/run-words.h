/* SPDX-License-Identifier: Apache-2.0 */
/* The files of --env-file and --label-file: their lines are words of --env and --label. */
#pragma once

#include "base/error.h"
#include "cli/run-options.h"

struct run_words {
	char **env, **labels;
};

/* Reads each file once, as it may be a pipe.  The options have no such files then, and the lines
 * before the words that they had; these stay where they are, and *ret_words must outlive the
 * options. */
int run_words_read(struct run_options *options, struct run_words *ret_words,
		   struct error **ret_error);
void run_words_done(struct run_words *words);
