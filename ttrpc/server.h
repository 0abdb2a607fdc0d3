/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What server.c (listeners, connections, frames) and call.c (the life of a
 * call) share.  Included by these two only; the server's interface is ttrpc.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "ttrpc/connection.h"
#include "ttrpc/ttrpc.h"

#define CALLS_MAX 1024		     /* open calls of one connection */
#define CALLS_MEMORY_MAX (64u << 20) /* taken by the requests of all calls of a server */
#define CALLS_FDS_MAX 512	     /* descriptors held by all calls of a server */

struct listener;

/* One connection. */
struct peer {
	struct ttrpc_server *server;
	struct connection *connection;
	uint32_t last_stream;
	size_t n_calls; /* open: dispatched and not answered */
	bool ended;	/* sends no more requests */
	/* An open call has been answered (server.c). */
	void (*call_answered)(struct peer *peer);
	void (*on_close)(void *data);
	void *data;
	struct ratelimit ratelimit;
	struct peer *previous, *next;
};

struct ttrpc_server {
	struct loop *loop;
	const struct ttrpc_service *services;
	size_t n_services;
	struct listener **listeners;
	size_t n_listeners;
	struct peer *peers;
	size_t n_peers;
	struct ttrpc_call *calls; /* that a handler still has, open or not */
	size_t calls_memory;
	size_t calls_fds;
	bool ends_early;
};

/* ---- call.c ---- */

/* Answers a stream that has no open call. */
void peer_refuse(struct peer *peer, uint32_t stream, enum ttrpc_code code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool peer_has_call(const struct peer *peer, uint32_t stream);
/* Runs the handler of a well-formed frame of type request, or refuses it. The
 * handler may free the server: the peer must not be touched after. */
void call_dispatch(struct peer *peer, struct frame *frame);
/* The peer goes away: its calls are open no more.  With NULL, the server goes
 * away, after its peers. */
void calls_detach(struct ttrpc_server *server, const struct peer *peer);
