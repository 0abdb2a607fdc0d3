/*
 * Opening a vsock stream to the agent: a connection to the VMM's unix socket,
 * "CONNECT 1025\n" (or another port) out, "OK port\n" back.  The port names a stdio
 * stream in the agent's Create and Exec (ttrpc/agent.proto).
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "shim/machine.h"

struct stream;

/* Either the stream's fd (not blocking, the receiver's) and port, or an error
 * (the caller's, valid during the call) and -1. */
typedef void (*stream_fn)(void *data, int fd, uint32_t port, const struct error *error);

/* The agent's ports (ttrpc/agent.proto). */
#define STREAM_STDIO_PORT 1025
#define STREAM_PUBLISHED_PORT 1026

/* function is called exactly once, never from within this call, unless the
 * stream is freed before.  Its struct is gone when the function is called. */
int stream_new(struct loop *loop, struct machine *machine, uint32_t port, stream_fn function,
	       void *data, struct stream **ret_stream, struct error **ret_error);
void stream_free(struct stream *stream);
