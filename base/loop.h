/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: epoll, timers, signals, calls from other threads.  One thread runs a
 * loop; every other function but loop_call() belongs to that
 * thread.  A handler may add and remove any source, its own included.
 */
#pragma once

#include <stdint.h>
#include <sys/signalfd.h>

#include "base/error.h"

struct loop;
struct source;

typedef void (*loop_io_fn)(void *data, uint32_t events); /* EPOLLIN, EPOLLHUP, … */
typedef void (*loop_timer_fn)(void *data);
typedef void (*loop_signal_fn)(void *data, const struct signalfd_siginfo *info);
typedef void (*loop_call_fn)(void *data);

int loop_new(struct loop **ret_loop, struct error **ret_error);
void loop_free(struct loop *loop); /* frees what sources are left; closes none of their fds */
DEFINE_CLEANUP(struct loop, loop_free)

/* Runs until loop_quit(). */
void loop_run(struct loop *loop);
/* One round: waits at most timeout_ms (-1: for ever) and dispatches. */
void loop_step(struct loop *loop, int timeout_ms);
void loop_quit(struct loop *loop);

/* Watches fd, which stays the caller's and must outlive the source.  `kind` is
 * a literal that names the source in traces. */
int loop_add_io(struct loop *loop, int fd, uint32_t events, const char *kind, loop_io_fn function,
		void *data, struct source **ret_source, struct error **ret_error);
void source_set_events(struct source *source, uint32_t events);
/* Removes any source; source_remove(NULL) is fine.  No handler of it runs after. */
void source_remove(struct source *source);

/* One-shot timer after delay_ms; its source is gone when it fires.  Time in which the process was
 * stopped or the machine slept does not count. */
struct source *loop_add_timer(struct loop *loop, uint64_t delay_ms, const char *kind,
			      loop_timer_fn function, void *data);
/* Handles the signal in the loop; blocks it in the calling thread.  Call before
 * starting other threads. */
int loop_add_signal(struct loop *loop, int signal, const char *kind, loop_signal_fn function,
		    void *data, struct source **ret_source, struct error **ret_error);

/* Any thread: calls function once, from the loop, in a later round. */
void loop_call(struct loop *loop, loop_call_fn function, void *data);

static inline void source_clear(struct source **source)
{
	source_remove(*source);
	*source = NULL;
}
