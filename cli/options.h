/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command line options by tables: one table per verb, which also prints its help.
 *
 * Syntax is that of Go's flag package, as runc's callers use it: -name and --name
 * are the same, a value follows as the next argument or after '=', a flag may be
 * written -name=false, "--" ends the options.  A verb that stops at its first argument also
 * takes short names in one word (-it), the last of which may have its value in it (-p80:80).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

enum option_type {
	OPTION_FLAG,	     /* bool */
	OPTION_UNSET_FLAG,   /* bool: a flag that is on unless it is said, as by --pause=false */
	OPTION_STRING,	     /* const char *, of argv */
	OPTION_STRINGS,	     /* const char **, ends with NULL; may be given many times */
	OPTION_COUNT,	     /* uint64_t */
	OPTION_IGNORED_FLAG, /* taken for a caller's sake, and without effect here */
	OPTION_IGNORED_VALUE,
	OPTION_REFUSED, /* known by name, and an error; help: the reason, or "" */
};

struct option_def {
	const char *name;
	char short_name; /* 0: none */
	enum option_type type;
	size_t offset; /* of the value in the verb's struct */
	const char *help;
};
#define OPTION_END                                                                                 \
	{                                                                                          \
		.name = NULL                                                                       \
	}

struct options_result {
	bool help;	   /* -h or --help was among them */
	const char **args; /* the words that are not options, ends with NULL; free() */
	size_t n_args;
};

/* Parses argv (ends with NULL) into *values, a zeroed struct. Unless
 * stop_at_argument, known options are taken after arguments too; an unknown one
 * there is an argument (`kill ID -9`). Errors read as Go's flag package's; ENOTSUP: a refused one.
 */
int options_parse(const struct option_def *table, bool stop_at_argument, char *const *argv,
		  void *values, struct options_result *ret_result, struct error **ret_error);
/* The value of --NAME, a flag that is true unless it is said. */
int options_bool(const char *name, const char *value, bool *ret_bool, struct error **ret_error);
/* The value of --format; NULL: it was not given, and the format is a table.  EINVAL: neither
 * "table" nor "json". */
int options_format(const char *format, bool *ret_json, struct error **ret_error);
/* The name of one that was given, or NULL.  table: some of those that were parsed. */
const char *options_given(const struct option_def *table, const void *values);
/* Frees what the values own. */
void options_done(const struct option_def *table, void *values);
/* "   --bundle value, -b value  …", one line each. */
void options_print(const struct option_def *table, FILE *stream);
