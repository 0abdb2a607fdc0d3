/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listener: accepts the connections that come to a listening socket, in the loop.
 *
 * Where there is no descriptor (or memory) for one, it stays in the backlog and would wake
 * the loop without end; so nothing is accepted for a moment then.
 */
#pragma once

#include <stdbool.h>

#include "base/loop.h"

struct listener;

/* A connection: the function's, close-on-exec and not blocking.  The listener must not be
 * freed in it. */
typedef void (*listener_fn)(void *data, int fd);

/* fd becomes the listener's, on failure too.  kind names it in traces and in the log, and
 * must be a literal. */
int listener_new(struct loop *loop, int fd, const char *kind, listener_fn function, void *data,
		 struct listener **ret_listener, struct error **ret_error);
/* The same of a socket that others accept from as well, whose flags are left as they are. One
 * that another takes first holds the loop up for a millisecond. SIGALRM and ITIMER_REAL are the
 * listener's, for as long as it accepts. */
int listener_new_shared(struct loop *loop, int fd, const char *kind, listener_fn function,
			void *data, struct listener **ret_listener, struct error **ret_error);
void listener_free(struct listener *listener);
/* Whether connections wait in the backlog. */
void listener_pause(struct listener *listener, bool paused);
/* Accepts all that have come, without waiting for the loop to see them. */
void listener_accept_now(struct listener *listener);
