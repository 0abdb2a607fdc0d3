/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A doorman: lets those who connect to some sockets (its doors) in to another connection
 * each, after a handshake.
 *
 *   accepted ─► HANDSHAKE ─► JOINED (a pump copies both ways) ─► gone
 *
 * Handshakes differ, and are their owner's.  Here is what they have in common: how many
 * visitors there may be at once, how long a handshake may take, and what happens when
 * descriptors run out (listener.h).
 *
 * Doormen may belong to one lodge, where those who come to one (a container's) shall not keep out
 * those who come to another.  One of them may let in one more while it has let in fewer than twice
 * as many as the lodge has places left, so that there are always some for another.  In their
 * handshake are those of all doors together: where there are too many, the one that came first
 * has had the most time for it, and makes room.  For handshakes that take no time unless somebody
 * means harm.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/loop.h"

#define DOORMAN_VISITORS_MAX 512 /* those who come then find their connection closed */
/* Either side says its part at once, but on a machine that is busy without end. */
#define DOORMAN_HANDSHAKE_MS 20000

struct doorman;
struct lodge;

/* One who has connected.  The owner's struct begins with it. */
struct visitor {
	struct doorman *doorman;
	void *door; /* what doorman_listen() or doorman_admit() got */
	int fd;	    /* the connection, which does not block */
	/* The doorman's. */
	struct source *source, *timer;
	void (*ready)(struct visitor *visitor);
	bool joined;
	struct pump *pump;
	uint64_t number; /* in the lodge, in the order in which they came */
	struct visitor *previous, *next;
};

/* The functions are called from the loop, or from within doorman_admit(). */
struct doorman_setup {
	size_t visitor_size; /* of the owner's struct; what follows the visitor is zero */
	/* Begins the handshake, which visitor_join() or visitor_refuse() ends, here or later. */
	void (*came)(struct visitor *visitor);
	/* Releases what the owner's struct has, on every way out, before the visitor is gone;
	 * may be NULL. */
	void (*leaves)(struct visitor *visitor);
	/* A visitor was turned away by the doorman itself; may be NULL. */
	void (*turned_away)(void *data, const char *why);
	void *data;
	struct lodge *lodge; /* NULL: none; it outlives the doorman */
	/* 0: the above; tests have less.  In a lodge, of those who were let in. */
	size_t visitors_max;
	uint64_t handshake_ms;
};

/* For so many who were let in, and so many who are in their handshake. */
struct lodge *lodge_new(size_t joined_max, size_t handshakes_max);
/* Without doormen. */
void lodge_free(struct lodge *lodge);
DEFINE_CLEANUP(struct lodge, lodge_free)

struct doorman *doorman_new(struct loop *loop, const struct doorman_setup *setup);
/* Ends every connection, and removes the sockets that it listens on. */
void doorman_free(struct doorman *doorman);
void *doorman_data(const struct doorman *doorman);

/* Listens on path, in place of what may be there. */
int doorman_listen(struct doorman *doorman, const char *path, mode_t mode, void *door,
		   struct error **ret_error);
/* The same of a socket that listens already, for others as well (listener_new_shared()); fd becomes
 * the doorman's, on failure too. */
int doorman_serve(struct doorman *doorman, int fd, void *door, struct error **ret_error);
/* Lets fd, which becomes the doorman's, be a visitor. It must not block. */
void doorman_admit(struct doorman *doorman, int fd, void *door);

/* Calls ready whenever fd, which outlives the handshake, is ready for events; one fd at a
 * time.  A visitor that cannot be watched is refused. */
void visitor_watch(struct visitor *visitor, int fd, uint32_t events,
		   void (*ready)(struct visitor *visitor));
/* The handshake is done: what visitor->fd says goes to fd, which becomes the doorman's, and
 * back.  Where there is no room any more the connection is closed. */
void visitor_join(struct visitor *visitor, int fd);
/* Closes the connection; the visitor is gone. */
void visitor_refuse(struct visitor *visitor);
