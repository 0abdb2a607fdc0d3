/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.resources as files of the sandbox's cgroup (cgroup-place.h): what of a container's
 * limits holds for its whole machine.  The guest's kernel holds the container itself to them.
 *
 *   memory   the machine's and room for the VMM in place of the container's limit
 *   cpu      as given: quota, weight, burst, idle, cpuset
 *   pids     at least what the VMM and its helpers need
 *   blockIO  as given: the devices are the host's
 *
 * devices, hugepageLimits, network, rdma and unified are the guest's alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "runtime-spec/spec.h"

struct cgroup_value {
	const char *controller;
	const char *file;
	char *text;
	bool v2;
	/* The file may be missing, or the kernel refuse it: another value stands for it, or
	 * this kernel cannot. */
	bool optional;
};

struct cgroup_values {
	struct cgroup_value *values;
	size_t n_values;
};

struct cgroup_room {
	uint64_t memory; /* bytes, in place of a limit of the container's */
	bool pod;	 /* the limits are one container's of several: its weight is not theirs */
};

/* When they are written: a machine that boots is not to wait for its own quota. */
enum cgroup_phase { CGROUP_AT_MAKING, CGROUP_WHEN_UP, CGROUP_AT_UPDATE };

/* v1's and v2's, in the order in which they are to be written.  resources: NULL, none are
 * given.  cgroup_values_done(). */
int cgroup_values_read(const struct spec_resources *resources, const struct cgroup_room *room,
		       enum cgroup_phase phase, struct cgroup_values *ret_values,
		       struct error **ret_error);
void cgroup_values_done(struct cgroup_values *values);
#define _cleanup_cgroup_values_ _cleanup_(cgroup_values_done)
