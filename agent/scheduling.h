/* SPDX-License-Identifier: Apache-2.0 */
/* How the kernel runs a process: process.scheduler, .ioPriority and .execCPUAffinity. */
#pragma once

#include "base/error.h"
#include "runtime-spec/spec.h"

/* The caller's scheduling policy and I/O priority, if the process has any: while it still may. */
int scheduling_set(const struct spec_process *process, struct error **ret_error);
/* The caller runs on as many of the guest's CPUs, the first ones, as the list (cpuset(7)) names
 * of the host's.  NULL: on all that its cgroup allows. */
int scheduling_keep_to(const char *cpus, struct error **ret_error);
