/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool: machines that have been started and wait, paused, for a container to take them
 * (doc/decisions/034-pool.md; host/pool.h has the protocol).
 *
 * What is asked for is what is held: of the kinds (plan_pool_kind()) of the last `wanted` requests
 * one machine each, so that the kinds used last wait, those used often more often.  One is
 * started at a time, a moment after one was taken.  The process that runs the loop is the one that
 * the machines die with, but for those that were taken.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "base/loop.h"

struct machine_pool;

struct machine_pool_options {
	size_t wanted;	       /* machines: 1 to POOL_MACHINES_MAX */
	const char *directory; /* pool_directory(), made if it is missing; only this pool's */
	uint64_t settle_ms; /* from a request until a machine is started in the taken one's place */
	uint64_t start_timeout_ms;
};

/* Removes what a pool that was killed has left in the directory.  EBUSY: another one is there. */
int machine_pool_new(struct loop *loop, const struct machine_pool_options *options,
		     struct machine_pool **ret_pool, struct error **ret_error);
/* All that wait end. */
void machine_pool_free(struct machine_pool *pool);
DEFINE_CLEANUP(struct machine_pool, machine_pool_free)
