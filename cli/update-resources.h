/* SPDX-License-Identifier: Apache-2.0 */
/* LinuxResources from `update`'s single-limit flags. */
#pragma once

#include "base/error.h"

struct update_options {
	const char *resources;
	const char *blkio_weight, *cpu_period, *cpu_quota, *cpu_share, *cpu_rt_period,
	    *cpu_rt_runtime, *cpuset_cpus, *cpuset_mems, *memory, *memory_reservation, *memory_swap,
	    *pids_limit, *cpu_burst, *cpu_idle;
};

/* The JSON of those that were given, of none an empty object (as runc, which then changes nothing);
 * caller frees. */
int update_resources_json(const struct update_options *options, char **ret_json,
			  struct error **ret_error);
