/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a vsock stream to the agent: a connection to the VMM's unix socket,
 * "CONNECT PORT\n" out, "OK port\n" back.  The answer's port names a stdio
 * stream in the agent's Create and Exec (protocol/agent.proto).
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "protocol/agent.h"
#include "sandbox/vmm.h"

struct stream;

/* Either the stream's fd (not blocking, the receiver's) and port, or an error
 * (the caller's, valid during the call) and -1. */
typedef void (*stream_fn)(void *data, int fd, uint32_t port, const struct error *error);

/* function is called exactly once, never from within this call, unless the
 * stream is freed before.  Its struct is gone when the function is called. */
int stream_new(struct loop *loop, struct vmm *vmm, uint32_t port, stream_fn function, void *data,
	       struct stream **ret_stream, struct error **ret_error);
/* The same for a stream that the machine had when it was saved, from this port of the host's.
 * ECONNREFUSED: the guest does not have it any more. */
int stream_take_up(struct loop *loop, struct vmm *vmm, uint32_t host_port, uint32_t port,
		   stream_fn function, void *data, struct stream **ret_stream,
		   struct error **ret_error);
void stream_free(struct stream *stream);
