/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of `run` and `create`.
 *
 * `run` has two forms: runc's, with a bundle and a container's id, and docker's, with an image and
 * a command.  A bundle is never taken for an image: run_is_bundle() decides, and an option of the
 * other form is refused by its name.
 */
#pragma once

#include <stdbool.h>

#include "cli/options.h"
#include "client/create.h"

struct run_options {
	struct create_options create; /* memory: of the machine, or (an image's) of the container */
	/* From here on of images only. */
	bool rm, interactive, tty, read_only, privileged, quiet, publish_all, init;
	bool no_healthcheck;
	uint64_t pids_limit, cpu_shares, health_retries;
	const char *health_cmd, *health_interval, *health_timeout, *health_start_period,
	    *health_start_interval;
	const char *name, *user, *workdir, *entrypoint, *cpus, *hostname, *shm_size, *stop_signal;
	const char *pull, *platform, *disk, *restart;
	const char *log_driver, *cidfile, *domainname, *oom_score_adj, *stop_timeout;
	const char **env, **env_files, **volumes, **mounts, **tmpfs, **cap_add, **cap_drop;
	const char **security_opts, **ulimits, **sysctls, **labels, **annotations, **dns,
	    **add_hosts, **exposed, **groups, **label_files, **log_opts, **devices;
};

extern const struct option_def create_option_table[]; /* into struct create_options */
extern const struct option_def run_option_table[];    /* into struct run_options */

/* args: the first argument and what is behind it.  --bundle decides; else that there is one
 * argument, options apart, and a config.json in the directory that a --bundle behind it names, or
 * in the current one. */
bool run_is_bundle(const struct run_options *options, const char *const *args);
/* May options stand behind the first argument?  (struct verb: options_behind) */
bool run_options_behind(const void *options, const char *const *args);
/* Refuses options of the other form. */
int run_check_form(const struct run_options *options, bool is_bundle, struct error **ret_error);
