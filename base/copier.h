/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copier: the bytes of one direction between two descriptors (base/pump.h).
 *
 * It goes on for as long as neither end has to be waited for, and then says which one
 * that is.  It never waits, and never holds more than one chunk: while the sink is
 * full, the source is not read.
 */
#pragma once

#include <stdbool.h>

#include <stdint.h>

#include "base/buffer.h"

struct copier_end {
	int fd;
	bool is_socket;
};

/* A sink that is a function: it takes all of the bytes, or fails with -1 and errno. */
typedef int (*copier_sink_fn)(void *data, const void *bytes, size_t size);

struct copier {
	struct copier_end from, to;
	bool ended;  /* nothing more comes from the source */
	bool failed; /* it ended by an error; EIO is how a terminal says that it hung up */
	bool broken; /* the sink takes no more, */
	int code;    /* for this reason */
	bool over;   /* all has been written, and the end passed on to a socket */
	struct buffer pending; /* read, not yet written; freed when it is empty */
	copier_sink_fn sink;   /* copier_sink(); NULL: `to` */
	void *sink_data;
};

/* The descriptors stay the caller's.  They do not block (files, which never do, aside;
 * sockets need no O_NONBLOCK). */
void copier_init(struct copier *copier, int from, int to);
void copier_done(struct copier *copier);
/* What is read goes to the function; `to` is -1. */
void copier_sink(struct copier *copier, copier_sink_fn function, void *data);

/* Copies what can be copied now; a few chunks at most, so that others have their turn.
 * When the last byte is written, the sink, if a socket, is shut down for writing.
 * Unless the copier is over or broken, it then waits for its sink or its source. */
void copier_run(struct copier *copier);
/* For one that is broken: it is over, what it holds is lost, and a source that is a socket is
 * told that nobody reads it any more. */
void copier_give_up(struct copier *copier);
static inline bool copier_waits_for_sink(const struct copier *copier)
{
	return buffer_length(&copier->pending) > 0;
}
