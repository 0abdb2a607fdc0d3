/* SPDX-License-Identifier: Apache-2.0 */
/* The `process` object of an `exec`. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

struct exec_overrides {
	const char *const *args;			   /* ends with NULL */
	const char *const *env;				   /* added; NULL: nothing */
	const char *cwd, *user, *apparmor, *process_label; /* NULL: the container's */
	const char *const *additional_gids;		   /* added */
	const char *const *capabilities;		   /* added */
	bool terminal, no_new_privileges;
};

/* The container's own `process` (config.json's text), with the overrides. The caller
 * frees the JSON text. */
int exec_process_json(const char *config, const struct exec_overrides *overrides, char **ret_json,
		      struct error **ret_error);
