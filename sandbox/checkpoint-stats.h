/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a checkpoint or a restore has cost, in the files that CRIU writes to the work path: podman's
 * --print-stats reads them.  They are figures alone: nothing fails for them once there is a work
 * path.
 *
 *   WORK/stats-dump, WORK/stats-restore   two magic numbers, the size, a protocol/criu-stats.proto
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct checkpoint_stats {
	int work_fd;	    /* the work path; -1: nobody wants them */
	uint64_t began_ns;  /* of clock_monotonic_ns(), as the others */
	uint64_t frozen_ns; /* 0: it was not */
	uint64_t saved_ns;
};

/* Begins now. path: absolute, is made if it is not there; NULL or "": nobody wants them. */
int checkpoint_stats_begin(const char *path, struct checkpoint_stats *ret_stats,
			   struct error **ret_error);
void checkpoint_stats_done(struct checkpoint_stats *stats);
/* The checkpoint is over. ram_fd: the file of the memory, of memory_mib. */
void checkpoint_stats_dump(const struct checkpoint_stats *stats, int ram_fd, uint64_t memory_mib);
/* The container is there again. pages: of 4 KiB, that its checkpoint has. */
void checkpoint_stats_restore(const struct checkpoint_stats *stats, uint64_t pages);
/* Pages of 4 KiB that a file of memory has on the disk. */
uint64_t checkpoint_stats_pages(int ram_fd);
