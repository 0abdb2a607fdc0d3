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
	/* user is names or numbers of the container's own passwd and group, as docker's, and not
	 * numbers alone, as runc's. */
	bool user_by_name;
};

/* As runc's --cgroup options, in their form for cgroup v2: *ret_path is the one path below the
 * container's cgroup, or NULL without any.  A controller is refused. */
int exec_process_cgroup(const char *const *options, const char **ret_path,
			struct error **ret_error);
/* The same process with a member of ours (SPEC_EXEC_CGROUP, …).  *json: freed, and made anew. */
int exec_process_put(char **json, const char *member, const char *value, struct error **ret_error);

/* The container's own `process` (config.json's text), with the overrides. The caller
 * frees the JSON text. */
int exec_process_json(const char *config, const struct exec_overrides *overrides, char **ret_json,
		      struct error **ret_error);
