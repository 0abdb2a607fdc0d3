/*
 * A relay: joins two connected stream sockets, so that what is written to one is
 * read from the other, until both directions have ended.
 *
 * An end of one direction is passed on as a half-close; the other goes on.  Each
 * direction holds one buffer at most: a slow reader is felt by its writer, and by
 * nobody else.
 */
#pragma once

#include "base/loop.h"

struct relay;

/* Both directions have ended, or a socket has failed; the relay is gone. */
typedef void (*relay_fn)(void *data);

/* Takes over both sockets, which must not block; function is never called from within
 * a call to the relay. */
struct relay *relay_new(struct loop *loop, int a, int b, relay_fn function, void *data);
/* Closes both at once; function is not called. */
void relay_free(struct relay *relay);
