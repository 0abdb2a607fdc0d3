/* SPDX-License-Identifier: Apache-2.0 */
/* Where a container that nobody waits for writes to: ROOT/ID/RUN_OUTPUT_FILE. */
#pragma once

#include <sys/types.h>

#include "base/error.h"

#define RUN_OUTPUT_FILE "output.log"
#define RUN_OUTPUT_KEEP (4u << 20) /* bytes of it: the container must not fill a tmpfs */

/* Where a detached one that was made with --interactive reads from: ROOT/ID/RUN_INPUT_FILE, a FIFO.
 */
#define RUN_INPUT_FILE "input"
int run_input_make(const char *directory, struct error **ret_error);

/* Opens the output of a container; ENOENT: it keeps none, which the error says. */
int run_output_open(const char *root, const char *id, int *ret_fd, struct error **ret_error);
/* Copies what there is by now from *at on to our standard output. */
int run_output_copy(int fd, off_t *at, struct error **ret_error);

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
