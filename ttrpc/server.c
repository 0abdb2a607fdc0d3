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
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"

#define CONNECTIONS_MAX 256 /* further ones wait in the listener's backlog */
#define ACCEPTS_MAX 16	    /* per round */
#define ACCEPT_RETRY_MS 100 /* after running out of descriptors */

struct listener {
	struct ttrpc_server *server;
	int fd;
	struct source *source;
	struct source *retry; /* timer; accepts nothing until it fires */
	struct listener *next;
};

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
	finish_if_done(peer);
}

void peer_call_answered(struct peer *peer)
{
	peer->n_calls--;
	finish_if_done(peer);
}

static void watch_listeners(struct ttrpc_server *server);

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
	watch_listeners(server);
	if (on_close)
		on_close(on_close_data);
}

static const struct connection_events peer_events = {
	.frame = on_frame,
	.ended = on_ended,
	.closed = on_closed,
};

int ttrpc_server_serve(struct ttrpc_server *server, int fd, void (*on_close)(void *data),
		       void *data, struct error **ret_error)
{
	_cleanup_free_ struct peer *peer = xcalloc(1, sizeof(*peer));

	peer->server = server;
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

static bool accepting(const struct listener *listener)
{
	return !listener->retry && listener->server->n_peers < CONNECTIONS_MAX;
}

static void watch_listeners(struct ttrpc_server *server)
{
	for (struct listener *listener = server->listeners; listener; listener = listener->next)
		source_set_events(listener->source, accepting(listener) ? EPOLLIN : 0);
}

static void on_retry(void *data)
{
	struct listener *listener = data;

	listener->retry = NULL;
	watch_listeners(listener->server);
}

static void accept_failed(struct listener *listener, int code)
{
	if (code == EAGAIN || code == EINTR || code == ECONNABORTED)
		return;
	log_warning("ttrpc: cannot accept a connection: %s", strerror(code));
	/* The connection stays in the backlog, and would wake the loop for ever. */
	listener->retry = loop_add_timer(listener->server->loop, ACCEPT_RETRY_MS, "ttrpc accept",
					 on_retry, listener);
}

static void on_accept(void *data, uint32_t events)
{
	struct listener *listener = data;

	(void)events;
	for (int i = 0; i < ACCEPTS_MAX && accepting(listener); i++) {
		int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		_cleanup_error_ struct error *error = NULL;

		if (fd < 0) {
			accept_failed(listener, errno);
			break;
		}
		if (ttrpc_server_serve(listener->server, fd, NULL, NULL, &error) < 0)
			log_warning("ttrpc: %s", error->message);
	}
	watch_listeners(listener->server);
}

static void listener_free(struct listener *listener)
{
	if (!listener)
		return;
	source_remove(listener->source);
	source_remove(listener->retry);
	close_fdp(&listener->fd);
	free(listener);
}
DEFINE_CLEANUP(struct listener, listener_free)

int ttrpc_server_listen(struct ttrpc_server *server, int listen_fd, struct error **ret_error)
{
	_cleanup_(listener_freep) struct listener *listener = xcalloc(1, sizeof(*listener));

	listener->server = server;
	listener->fd = listen_fd;
	if (set_nonblocking(listen_fd, true) < 0)
		return error_set_errno(ret_error, errno, "cannot use the listener %d", listen_fd);
	if (loop_add_io(server->loop, listen_fd, EPOLLIN, "ttrpc listener", on_accept, listener,
			&listener->source, ret_error) < 0)
		return -1;
	listener->next = server->listeners;
	server->listeners = TAKE_PTR(listener);
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
	while (server->listeners) {
		struct listener *listener = server->listeners;

		server->listeners = listener->next;
		listener_free(listener);
	}
	while (server->peers)
		peer_free(server->peers);
	calls_detach(server, NULL);
	free(server);
}
