/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pump copies bytes from one descriptor to another, or both ways between two sockets,
 * until the end.  It never blocks, and holds one chunk of each direction at most: a slow
 * reader is felt by its writer, and by nobody else.
 */
#pragma once

#include <stdbool.h>

#include "base/buffer.h"
#include "base/copier.h"
#include "base/loop.h"

struct pump;

/* The end; the pump is gone.  broken: not every byte may have reached a reader, as an end
 * has failed, or nobody reads there any more. */
typedef void (*pump_fn)(void *data, bool broken);

struct pump_setup {
	/* Taken over.  They do not block (files, which never do, aside; sockets need no
	 * O_NONBLOCK). */
	int from, to;
	/* Both are sockets, and what is written to `to` is read from `from`, too.  The end of a
	 * direction is passed on as a half-close; the other goes on, also when nobody reads what
	 * the first one wrote any more.  A socket that cannot be read ends both, after what came
	 * from it. */
	bool both_ways;
	/* A reader who leaves is noticed at once, not by the next write only, which would seem
	 * to be taken.  (Not with a FIFO that has a name: its readers may come and go between
	 * two writes.)  A half-close by the reader does not count as leaving. */
	bool watches_reader;
	/* At the source's end the socket `to` is half-closed, and stays until its peer closes it:
	 * closing it with the peer's end open could cut off what is still on its way. */
	bool lingers;
	copier_sink_fn sink; /* in the place of `to`, which is -1: copier_sink(); or NULL */
	void *sink_data;
	pump_fn function; /* never called from within a call to the pump */
	void *data;
};

/* At the source's end of file the sink, if a socket, is shut down for writing; then both
 * are closed and function is called. */
struct pump *pump_new(struct loop *loop, const struct pump_setup *setup);
/* Closes both at once; what was read and not yet written is lost; function is not called. */
void pump_free(struct pump *pump);
/* Nothing is read or written any more, until it goes on.  (One that goes one way.) */
void pump_hold(struct pump *pump, bool hold);
/* What was read and not yet written; the pump's. */
const struct buffer *pump_pending(const struct pump *pump);
/* Reads no more from `from`: what was read is written, then comes the end. */
void pump_end_input(struct pump *pump);
