/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A verb of the command line: its table entry, and what main() hands to it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "cli/options.h"
#include "client/client.h"

struct globals {
	bool version;
	bool systemd_cgroup;
	const char *root_option;
	const char *image_store; /* NULL: the user's */
	struct client client;
};

struct command {
	const struct globals *globals;
	const void *options; /* the verb's struct, filled by its table */
	const char *const *args;
	size_t n_args;
};

struct verb {
	const char *name;
	const char *arguments; /* for the usage line */
	const char *summary;
	const char *description; /* NULL: the summary says it all */
	const struct option_def *options;
	size_t options_size;
	size_t min_args, max_args;
	bool stop_at_argument; /* what follows the first argument belongs to it */
	/* Of a verb that stops at its first argument; NULL: never.  Are these arguments of a form
	 * in which options may stand behind the first one, too? */
	bool (*options_behind)(const void *options, const char *const *args);
	int failure; /* exit status of a failure; 0: 1 */
	/* The same where it depends on the failure; NULL: it does not. */
	int (*failure_status)(const struct command *command, const struct error *error);
	/* The exit status, or -1. */
	int (*run)(const struct command *command, struct error **ret_error);
};
#define VERB_ARGS_ANY ((size_t)-1)

extern const struct verb verb_attach, verb_commit, verb_cp, verb_diff, verb_export, verb_stats,
    verb_check, verb_checkpoint, verb_create, verb_delete, verb_events, verb_exec, verb_features,
    verb_fork, verb_history, verb_images, verb_import, verb_inspect, verb_kill, verb_list,
    verb_load, verb_logs, verb_login, verb_logout, verb_pause, verb_pool, verb_port, verb_prune,
    verb_ps, verb_pull, verb_restart, verb_restore, verb_resume, verb_rm, verb_rmi, verb_run,
    verb_save, verb_spec, verb_start, verb_state, verb_stop, verb_system, verb_top, verb_update,
    verb_volume, verb_wait;
