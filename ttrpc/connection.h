/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stream socket that carries frames, on a loop: reading whole frames with
 * the descriptors that came along, and a bounded queue of bytes to write.
 * Server and asynchronous client each put their own meaning on top.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/io.h"
#include "base/loop.h"
#include "ttrpc/frame.h"
#include "ttrpc/ttrpc.h"

/* More than this waiting to be written breaks the connection. */
#define CONNECTION_WAITING_MAX (4 * (size_t)TTRPC_MESSAGE_MAX)
/* One that serves stops reading above this. */
#define CONNECTION_WAITING_HIGH (1u << 20)

struct connection;

struct frame {
	struct frame_header header;
	bool oversize; /* longer than TTRPC_MESSAGE_MAX: the payload was dropped */
	const uint8_t *payload;
	size_t size;
	/* Came with the frame's bytes.  Who takes them sets n_fds to 0; the
	 * connection closes what is left. */
	int *fds;
	size_t n_fds;
};

/* Called from the loop only, never from within a function below.  Each may call
 * connection_free(). */
struct connection_events {
	void (*frame)(void *data, struct frame *frame);
	/* The peer will send no more, but may still read.  All it has sent has been
	 * handed over. */
	void (*ended)(void *data);
	/* The connection is broken or finished; last event.  `why` is for messages. */
	void (*closed)(void *data, const char *why);
};

/* fd (connected) becomes the connection's, on failure too.  A connection that
 * serves takes descriptors, and stops reading while the peer leaves what was
 * written to it unread; with two that did so, each could wait for the other. */
int connection_new(struct loop *loop, int fd, bool serves, const struct connection_events *events,
		   void *data, struct connection **ret_connection, struct error **ret_error);
/* Closes at once; no event comes after. */
void connection_free(struct connection *connection);
DEFINE_CLEANUP(struct connection, connection_free)
/* Queues one frame, size <= TTRPC_MESSAGE_MAX.  A failure arrives as `closed`. */
void connection_send(struct connection *connection, uint32_t stream, enum frame_type type,
		     const uint8_t *payload, size_t size);
/* Bytes queued and not yet taken by the socket. */
size_t connection_waiting(const struct connection *connection);
/* Ends the connection (with `closed`) when everything queued is written. */
void connection_finish(struct connection *connection);
/* Ends it (with `closed`, from the loop) without writing what is queued. */
void connection_break(struct connection *connection, const char *why);
