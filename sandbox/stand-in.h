/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that stands for the container of a machine that was taken from the pool.
 *
 * A VMM that has waited is the pool's child, and in no namespace of the container's.  So another
 * process is the one of the pid file: an orphan like a VMM (vmm.h), in the container's network
 * namespace and cgroup, with the container's files as its root, without privileges.  It only waits,
 * and ends as it is told; when its socket is closed, as the VMM does.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "host/cgroup-place.h"
#include "host/stage.h"

struct stand_in {
	pid_t pid; /* 0: none */
	int pidfd, socket;
};
#define STAND_IN_NONE ((struct stand_in){ 0, -1, -1 })

struct stand_in_setup {
	const struct cgroup_place *cgroup; /* to be in */
	int netns_fd;			   /* likewise; -1: the caller's */
	/* It is brought into the staging area of that machine (stage_adopt()). */
	const struct stage *stage;
	pid_t vmm;
	int stage_fd;
};

int stand_in_start(const struct stand_in_setup *setup, struct stand_in *ret_stand_in,
		   struct error **ret_error);
/* As the container ended: it exits with that code or, where signal is not 0, dies by it. */
void stand_in_end(const struct stand_in *stand_in, unsigned code, unsigned signal);
void stand_in_kill(const struct stand_in *stand_in);
/* Kills what is left of it. */
void stand_in_done(struct stand_in *stand_in);
