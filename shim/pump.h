/*
 * A pump: copies bytes from one descriptor to another until the end, never
 * blocking and never holding more than one chunk.  While the sink is full the
 * source is not read, so a slow reader is felt at the other end.
 */
#pragma once

#include <stdbool.h>

#include "base/loop.h"

struct pump;

/* The end: broken when the sink failed (nobody reads there any more). */
typedef void (*pump_fn)(void *data, bool broken);

/*
 * Takes over both descriptors; they do not block (files, which
 * never do, aside; sockets need no O_NONBLOCK).  At the source's end of file the
 * sink, if a socket, is shut down for writing; then both are closed and function
 * is called, never from within a call to the pump.
 */
struct pump *pump_new(struct loop *loop, int from, int to, pump_fn function, void *data);
/* Stops at once; what was read and not yet written is lost; function is not
 * called. */
void pump_free(struct pump *pump);
/* Reads no more: what was read is written, then comes the end. */
void pump_end_input(struct pump *pump);
