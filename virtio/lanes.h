/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which requests may run on a few threads, where some of them may hang: those of one lane (a
 * mount), or of one group of lanes (a container), never take all threads.
 *
 * A lane may have one more request running while it has fewer than threads are free, a group
 * while it has fewer than twice as many.  So a lane alone gets half of the threads, a group two
 * thirds; and however many others hang, they leave some to one that comes later.  (As for
 * descriptors: rootfs/share/fuse-fd.c.)
 *
 * Not for several threads at once: the caller has a lock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

struct lanes;

struct lane {
	uint64_t group, number; /* of any kind; a number means the same lane in every group */
};

/* A request that waits, the caller's: its struct begins with it. */
struct lane_waiter {
	struct lane lane;
	struct lane_waiter *next;      /* behind it in its lane */
	struct lane_waiter *next_lane; /* a lane's first one has these: of the lane behind, */
	struct lane_waiter *last;      /* and the last one of its own */
};

/* For requests on as many threads, at least 2. */
struct lanes *lanes_new(unsigned threads_max);
/* None waits. */
void lanes_free(struct lanes *lanes);
DEFINE_CLEANUP(struct lanes, lanes_free)

/* May a request of this lane run?  True: it does from now on, until lanes_leave().  Where others
 * of its lane wait it is to wait behind them. */
bool lanes_enter(struct lanes *lanes, const struct lane *lane);
void lanes_leave(struct lanes *lanes, const struct lane *lane);
void lanes_wait(struct lanes *lanes, struct lane_waiter *waiter);
/* One that waits and may run, and does from now on; lanes have turns.  NULL: none. */
struct lane_waiter *lanes_next(struct lanes *lanes);
/* Would lanes_next() give one? */
bool lanes_have_next(struct lanes *lanes);
/* One that waits, whether it may run or not; it is not running.  NULL: none. */
struct lane_waiter *lanes_drop(struct lanes *lanes);
