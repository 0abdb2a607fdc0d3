/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error convention of the whole tree, on one page.
 *
 * A function that can fail takes `struct error **ret_error` last, returns 0
 * (or a non-negative result) on success and -1 on failure.  On failure it has
 * stored a new error in *ret_error; its other ret_… outputs are untouched.  On
 * success *ret_error is untouched.  A caller adds context with error_wrap()
 * and passes the error up, or frees it.  ret_error may be NULL where the
 * caller does not care; then nothing is stored.
 */
#pragma once

#include <stdarg.h>

#include "base/cleanup.h"

struct error {
	int code;      /* a positive errno value */
	char *message; /* what, where and what to do; no trailing newline */
};

/* Stores a new error; always returns -1, so that `return error_set(…)` works. */
int error_set(struct error **ret_error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set() with the given errno value, and ": strerror(code)" appended. */
int error_set_errno(struct error **ret_error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "…: " before the message of the error already in *error; returns -1. */
int error_wrap(struct error **error, const char *format, ...) __attribute__((format(printf, 2, 3)));

void error_free(struct error *error);
DEFINE_CLEANUP(struct error, error_free)
#define _cleanup_error_ _cleanup_(error_freep)
