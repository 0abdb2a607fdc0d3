/* SPDX-License-Identifier: Apache-2.0 */
/* Where a container that nobody waits for writes to: ROOT/ID/RUN_OUTPUT_FILE. */
#pragma once

#include "base/error.h"

#define RUN_OUTPUT_FILE "output.log"
#define RUN_OUTPUT_KEEP (4u << 20) /* bytes of it: the container must not fill a tmpfs */

/* Our own streams, while the standard ones are the container's. */
struct run_output {
	int out, err; /* -1: they are */
};
#define RUN_OUTPUT_OWN                                                                             \
	{                                                                                          \
		.out = -1, .err = -1                                                               \
	}

/* From now on, the standard output and error are the file in the container's directory. */
int run_output_redirect(struct run_output *output, const char *directory, struct error **ret_error);
/* Ours again. */
void run_output_restore(const struct run_output *output);
void run_output_done(struct run_output *output);

/* For a forked process that goes on without the caller: no signals are held, and none of his
 * streams, terminal or session is. */
void run_output_leave(struct run_output *output);

/* Opens the file as this descriptor. */
int run_output_replace(int fd, const char *path, int flags, struct error **ret_error);
