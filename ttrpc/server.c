/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's listeners, connections and frames: see ttrpc.h; call.c has what
 * happens to a request.
 *
 * Stream rules (containerd/ttrpc PROTOCOL.md "Message Frame"; where it is silent,
 * as containerd's own server does): a client's ids are odd and increase; one
 * that does not is answered InvalidArgument.  Only where that answer would be
 * taken for the reply of a call still open on that id does the connection end.
 * Calls are unary: whatever streams is answered Unimplemented.
 */
#include "ttrpc/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/listener.h"

#define CONNECTIONS_MAX 256 /* further ones wait in the listeners' backlogs */

/* ---- frames ---- */

static void on_request(struct peer *peer, struct frame *frame)
{
	uint32_t stream = frame->header.stream;

	if (stream > peer->last_stream) {
		peer->last_stream = stream;
		call_dispatch(peer, frame);
	} else if (peer_has_call(peer, stream)) {
		connection_break(peer->connection, "a stream id was used twice at a time");
	} else {
		peer_refuse(peer, stream, TTRPC_INVALID_ARGUMENT,
			    "stream id %" PRIu32 " is not above those used before", stream);
	}
}

static void on_data(struct peer *peer, const struct frame *frame)
{
	/* With a call open there, this answer would end it. */
	if (peer_has_call(peer, frame->header.stream))
		return;
	peer_refuse(peer, frame->header.stream, TTRPC_UNIMPLEMENTED,
		    "stream %" PRIu32 " is not open for data", frame->header.stream);
}

static void log_odd_frame(struct peer *peer, const struct frame_header *header)
{
	uint32_t suppressed;

	if (ratelimit_pass(&peer->ratelimit, &suppressed))
		log_warning("ttrpc: ignored a frame of type %u on stream %" PRIu32 " (and %" PRIu32
			    " like it)",
			    header->type, header->stream, suppressed);
}

static void on_frame(void *data, struct frame *frame)
{
	struct peer *peer = data;
	uint32_t stream = frame->header.stream;

	if (frame->oversize && peer_has_call(peer, stream))
		connection_break(peer->connection, "an oversize frame on a stream in use");
	else if (frame->oversize)
		peer_refuse(peer, stream, TTRPC_RESOURCE_EXHAUSTED,
			    "a frame of %" PRIu32 " bytes is above the limit of %u",
			    frame->header.length, TTRPC_MESSAGE_MAX);
	else if (stream % 2 == 0)
		peer_refuse(peer, stream, TTRPC_INVALID_ARGUMENT,
			    "stream id %" PRIu32 " is even: clients use odd ones", stream);
	else if (frame->header.type == FRAME_REQUEST)
		on_request(peer, frame);
	else if (frame->header.type == FRAME_DATA)
		on_data(peer, frame);
	else
		log_odd_frame(peer, &frame->header);
}

/* ---- connections ---- */

static void finish_if_done(struct peer *peer)
{
	if (peer->ended && peer->n_calls == 0)
		connection_finish(peer->connection);
}

static void on_ended(void *data)
{
	struct peer *peer = data;

	peer->ended = true;
	if (peer->server->ends_early)
		connection_break(peer->connection, "its peer has ended it");
	else
		finish_if_done(peer);
}

static void call_answered(struct peer *peer)
{
	peer->n_calls--;
	finish_if_done(peer);
}

static void pause_listeners(const struct ttrpc_server *server)
{
	for (size_t i = 0; i < server->n_listeners; i++)
		listener_pause(server->listeners[i], server->n_peers >= CONNECTIONS_MAX);
}

static void peer_free(struct peer *peer)
{
	struct ttrpc_server *server = peer->server;

	calls_detach(server, peer);
	if (peer->next)
		peer->next->previous = peer->previous;
	if (peer->previous)
		peer->previous->next = peer->next;
	else
		server->peers = peer->next;
	server->n_peers--;
	connection_free(peer->connection);
	free(peer);
}

static void on_closed(void *data, const char *why)
{
	struct peer *peer = data;
	struct ttrpc_server *server = peer->server;
	void (*on_close)(void *data) = peer->on_close;
	void *on_close_data = peer->data;

	log_debug("ttrpc: connection ended: %s", why);
	peer_free(peer);
	pause_listeners(server);
	if (on_close)
		on_close(on_close_data);
}

static const struct connection_events peer_events = {
	.frame = on_frame,
	.ended = on_ended,
	.closed = on_closed,
};

void ttrpc_server_end_early(struct ttrpc_server *server)
{
	server->ends_early = true;
}

int ttrpc_server_serve(struct ttrpc_server *server, int fd, void (*on_close)(void *data),
		       void *data, struct error **ret_error)
{
	_cleanup_free_ struct peer *peer = xcalloc(1, sizeof(*peer));

	peer->server = server;
	peer->call_answered = call_answered;
	peer->on_close = on_close;
	peer->data = data;
	if (connection_new(server->loop, fd, true, &peer_events, peer, &peer->connection,
			   ret_error) < 0)
		return -1;
	peer->next = server->peers;
	if (peer->next)
		peer->next->previous = peer;
	server->n_peers++;
	server->peers = TAKE_PTR(peer);
	return 0;
}

/* ---- listeners ---- */

static void on_connection(void *data, int fd)
{
	_cleanup_error_ struct error *error = NULL;
	struct ttrpc_server *server = data;

	if (ttrpc_server_serve(server, fd, NULL, NULL, &error) < 0)
		log_warning("ttrpc: %s", error->message);
	pause_listeners(server);
}

int ttrpc_server_listen(struct ttrpc_server *server, int listen_fd, struct error **ret_error)
{
	struct listener *listener;

	if (listener_new(server->loop, listen_fd, "ttrpc listener", on_connection, server,
			 &listener, ret_error) < 0)
		return -1;
	server->listeners =
	    xreallocarray(server->listeners, server->n_listeners + 1, sizeof(server->listeners[0]));
	server->listeners[server->n_listeners++] = listener;
	return 0;
}

/* ---- the server ---- */

struct ttrpc_server *ttrpc_server_new(struct loop *loop, const struct ttrpc_service *services,
				      size_t n_services)
{
	struct ttrpc_server *server = xcalloc(1, sizeof(*server));

	server->loop = loop;
	server->services = services;
	server->n_services = n_services;
	return server;
}

void ttrpc_server_free(struct ttrpc_server *server)
{
	if (!server)
		return;
	for (size_t i = 0; i < server->n_listeners; i++)
		listener_free(server->listeners[i]);
	free(server->listeners);
	while (server->peers)
		peer_free(server->peers);
	calls_detach(server, NULL);
	free(server);
}
