/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that serve several sources together: whichever is free takes what
 * comes next.  For devices whose requests may block and overtake each other (a
 * share's), where a worker (worker.h) would make one wait for the other.
 *
 * A pool begins with one thread and grows by one, up to its limit, whenever the
 * last idle one gets work.  All of them descend from that first thread, so they
 * have its privileges, even if the process has dropped its own since.
 */
#pragma once

#include "base/error.h"

struct pool;
struct pool_source;

struct pool_options {
	const char *name; /* literal: for logs, and the threads' name (15 bytes) */
	unsigned threads_max;
	/* On each thread, before it serves: its context, or -1, and the thread ends
	 * (the first one: pool_new() fails). */
	int (*enter)(void *data, void **ret_context, struct error **ret_error);
	void (*leave)(void *context); /* on the thread, at its end */
	void *data;
};

int pool_new(const struct pool_options *options, struct pool **ret_pool, struct error **ret_error);
/* Every source is removed.  Joins the threads. */
void pool_free(struct pool *pool);
DEFINE_CLEANUP(struct pool, pool_free)

/* Calls serve() on a thread of the pool whenever somebody writes to fd (an
 * eventfd, or a timerfd that fires; never read), and once if it is readable now; several
 * calls may run at once.  fd stays the caller's, and open until
 * pool_remove(). */
typedef void (*pool_fn)(void *data, void *context);
int pool_add(struct pool *pool, int fd, pool_fn serve, void *data, struct pool_source **ret_source,
	     struct error **ret_error);
/* Calls fn() once on a thread of the pool, and returns when that has returned; never from one. */
int pool_call(struct pool *pool, pool_fn fn, void *data, struct error **ret_error);
/* Returns when no serve() of it runs any more, so never from one; NULL is fine. */
void pool_remove(struct pool_source *source);
