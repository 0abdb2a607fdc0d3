/* SPDX-License-Identifier: Apache-2.0 */
/* The streams of a container that nobody waits for, and of our processes that stay for one. */
#pragma once

#include "base/error.h"

/* Where a detached one that was made with --interactive reads from: ROOT/ID/RUN_INPUT_FILE, a FIFO.
 */
#define RUN_INPUT_FILE "input"
int run_input_make(const char *directory, struct error **ret_error);

/* For a forked process that goes on without the caller: no signals are held, and none of his
 * streams, terminal or session is. */
void run_output_leave(void);

/* Opens the file as this descriptor. */
int run_output_replace(int fd, const char *path, int flags, struct error **ret_error);
