/* SPDX-License-Identifier: Apache-2.0 */
/* The pool's socket: those who ask (host/pool.h has the protocol), and what they are answered. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/loop.h"
#include "host/pool.h"

/* A machine that is given away: the descriptors of struct pool_machine in their order, and its
 * directory, which is removed when its taker is done with it. */
struct pool_given {
	pid_t pid;
	int fds[POOL_FDS];
	char *directory;
};

struct pool_door_events {
	void (*status)(void *data, struct pool_status *ret_status);
	/* *ret_given becomes the door's; false: none of this kind waits. */
	bool (*take)(void *data, const char *kind, struct pool_given *ret_given);
	void *data;
};

struct pool_door;
/* Listens in the directory, on POOL_SOCKET. */
int pool_door_new(struct loop *loop, const char *directory, const struct pool_door_events *events,
		  struct pool_door **ret_door, struct error **ret_error);
void pool_door_free(struct pool_door *door);
DEFINE_CLEANUP(struct pool_door, pool_door_free)
