/* SPDX-License-Identifier: Apache-2.0 */
/* Words of the command line: booleans, signals, sizes, durations. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Decimal digits and nothing else; -1: the text is something else, or larger than any. */
int parse_number(const char *text, uint64_t *ret_value);
/* As Go's strconv.ParseBool takes them: "1", "t", "T", "true", "TRUE", "True" and their
 * opposites; -1 for anything else. */
int parse_bool(const char *text, bool *ret_bool);
/* "9", "KILL", "SIGKILL", "sigkill", "RTMIN+1": a signal's number; 0 too. */
int parse_signal(const char *text, int *ret_signal, struct error **ret_error);
/* A size in bytes with an optional unit of 1024: "512M", "1g", "1.5g", "64MiB", "100kb". */
int parse_size(const char *text, uint64_t *ret_bytes, struct error **ret_error);
/* A Go duration: "5s", "1m30s", "250ms"; more than nothing. */
int parse_duration(const char *text, uint64_t *ret_ms, struct error **ret_error);
