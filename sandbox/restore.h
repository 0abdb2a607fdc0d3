/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container that is made of a checkpoint: what its Create takes from there.
 */
#pragma once

#include "base/error.h"
#include "protocol/sandbox.pb-c.h"
#include "sandbox/checkpoint-manifest.h"
#include "sandbox/checkpoint-memory.h"
#include "sandbox/checkpoint-stats.h"
#include "sandbox/stdio/stdio.h"

struct container;
struct machine_plan;
struct task;

struct restore {
	struct checkpoint_manifest *manifest;
	int state_fd;
	struct checkpoint_memory memory;
	struct task *execs; /* from the time that their streams are taken up until it is created */
	struct checkpoint_stats stats;
	uint64_t n_pages;			      /* that its files of memory have */
	struct volume_past volumes[PLAN_VOLUMES_MAX]; /* fd -1: not written to */
};

/* Opens a checkpoint; work_path: as of checkpoint_stats_begin(); *ret_restore: restore_free(). */
int restore_open(const char *path, const char *work_path, struct restore **ret_restore,
		 struct error **ret_error);
/* The checkpoint's copies of volumes are needed no more, and may take much room. */
void restore_close_disks(struct restore *restore);
void restore_free(struct restore *restore);
DEFINE_CLEANUP(struct restore, restore_free)

/* The options that make its machine, over those of the request (NULL: none); they keep nothing of
 * their own. */
void restore_options(const struct restore *restore, const Sandbox__CreateOptions *asked,
		     Sandbox__CreateOptions *ret_options);
/* The machine goes on from the state, which becomes the plan's.  spec: the container's. */
int restore_machine(struct restore *restore, const struct spec *spec, struct machine_plan *plan,
		    struct error **ret_error);

/* ---- restore-streams.c ---- */

/* The machine runs: its streams have ends here again, those of execs too, whose output nobody sees.
 * function is called once, when init's have, never from within, unless the container's stdio is
 * freed. */
int restore_streams(struct container *container, stdio_fn function, struct error **ret_error);
/* The execs that came along are the container's. */
void restore_execs(struct container *container);
