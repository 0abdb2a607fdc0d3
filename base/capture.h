/* SPDX-License-Identifier: Apache-2.0 */
/* Running a short program for what it prints. */
#pragma once

#include <stdint.h>

#include "base/error.h"

/* Runs argv[0], a path, with /dev/null for its standard input and error, default
 * signals and no descriptor of ours, and waits for its end.  *ret_text is what it
 * printed, of that the first 64 KiB, NUL-terminated (caller frees); *ret_status is
 * waitpid()'s.  One that has not ended after limit_ms is killed: ETIMEDOUT.
 * Blocks; other children of this process are left alone. */
int capture_output(char *const *argv, uint64_t limit_ms, char **ret_text, int *ret_status,
		   struct error **ret_error);
