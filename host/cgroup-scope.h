/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's cgroup as a scope of systemd's (systemd.scope(5)): the manager makes it, gives
 * it to us (Delegate=) and removes it when its last process has ended.
 *
 * The manager is asked by its own socket, in D-Bus's wire format: the system's for root, a
 * user's own for others.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* systemd runs as this machine's init. */
bool cgroup_scope_available(void);

struct cgroup_scope {
	const char *slice; /* "kubepods.slice"; "": system.slice, a user's user.slice */
	const char *name;  /* "cri-containerd-ID.scope" */
	pid_t pid;	   /* the process that it begins with */
	/* Properties of the unit, as systemd sets them again when it is reloaded; UINT64_MAX: no
	 * limit, 0: it is not given. */
	uint64_t memory_max, tasks_max, cpu_weight;
	uint64_t cpu_us_per_s; /* the quota, in microseconds of each second, … */
	uint64_t period_us;    /* … and its period */
};

/* The manager's socket; NULL: there is none.  Caller frees. */
char *cgroup_scope_socket(void);
/* Has systemd start it, and waits for the answer: systemd goes on making it.  EEXIST: there is
 * one of that name, or still is. */
int cgroup_scope_start(const char *socket, const struct cgroup_scope *scope,
		       struct error **ret_error);
/* Changes those of its properties that are given; slice and pid are not looked at. */
int cgroup_scope_set(const char *socket, const struct cgroup_scope *scope,
		     struct error **ret_error);
