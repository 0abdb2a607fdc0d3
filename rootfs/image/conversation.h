/* SPDX-License-Identifier: Apache-2.0 */
/* A program that is given a document and answers with one. */
#pragma once

#include <stddef.h>

#include "base/error.h"

/* Runs argv[0], a path, with `input` as its standard input; its standard error is ours. *ret_output
 * is what it wrote, at most output_max bytes (EFBIG), NUL-terminated; *ret_status waitpid()'s.
 * Blocks until it ends. */
int converse(char *const *argv, const char *input, size_t output_max, char **ret_output,
	     int *ret_status, struct error **ret_error);
