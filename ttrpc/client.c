/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The asynchronous client: see ttrpc.h.
 *
 * Each open call has a stream id of its own, so that answers may come in any
 * order.  A call that fails at once (too large, connection gone) is failed by a
 * timer of no delay, since its function must not run from within
 * ttrpc_client_call().
 *
 * Every function of the user may free the client, so each is the last thing that
 * a frame's or a timer's handler does.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/log.h"
#include "ttrpc/connection.h"
#include "ttrpc/message.h"
#include "ttrpc/ttrpc.h"

/* How long a chain of calls that fail, each made by the function of the one before, may be. */
#define CLOSER_ROUNDS_MAX 16
#define STREAM_MAX (UINT32_MAX - 2)
#define TIMEOUT_MS_MAX (UINT64_C(1000) * 60 * 60 * 24 * 365)

struct pending {
	struct ttrpc_client *client;
	uint32_t stream;      /* 0: was never sent */
	struct source *timer; /* timeout, or the failure already known */
	struct error *error;  /* that failure */
	char *name;	      /* SERVICE/METHOD, for messages */
	const ProtobufCMessageDescriptor *response;
	ttrpc_reply_fn function;
	void *data;
	struct pending *previous, *next;
};

struct ttrpc_client {
	struct loop *loop;
	struct connection *connection; /* NULL: has ended */
	struct source *closer;	       /* timer: tells that it has */
	unsigned n_held_up;	       /* how often the closer has waited for calls */
	uint32_t next_stream;
	struct pending *pending;
	struct metadata *metadata;
	void (*on_close)(void *data);
	void *data;
	struct ratelimit ratelimit;
};

/* ---- open calls ---- */

static void pending_free(struct pending *call)
{
	if (call->next)
		call->next->previous = call->previous;
	if (call->previous)
		call->previous->next = call->next;
	else
		call->client->pending = call->next;
	source_remove(call->timer);
	error_free(call->error);
	free(call->name);
	free(call);
}

static struct pending *pending_find(const struct ttrpc_client *client, uint32_t stream)
{
	for (struct pending *call = client->pending; call; call = call->next)
		if (call->stream == stream)
			return call;
	return NULL;
}

/* Ends the call; its function may free the client. */
static void complete(struct pending *call, const ProtobufCMessage *response,
		     const struct error *error)
{
	ttrpc_reply_fn function = call->function;
	void *data = call->data;

	pending_free(call);
	if (function)
		function(data, response, error);
}

static void complete_error(struct pending *call, struct error *error)
{
	_cleanup_error_ struct error *owned = error;

	(void)error_wrap(&owned, "%s", call->name);
	complete(call, NULL, owned);
}

static void on_timer(void *data)
{
	struct pending *call = data;
	struct error *error = TAKE_PTR(call->error);

	call->timer = NULL; /* a timer that fires is gone */
	if (!error)
		(void)error_set(&error, ETIMEDOUT, "no answer in time");
	complete_error(call, error);
}

/* The error becomes the call's, unless it has failed already. */
static void fail_later(struct pending *call, struct error *error)
{
	if (call->error) {
		error_free(error);
		return;
	}
	call->error = error;
	source_remove(call->timer);
	call->timer = loop_add_timer(call->client->loop, 0, "ttrpc failed", on_timer, call);
}

/* ---- the connection ---- */

static void log_odd_frame(struct ttrpc_client *client, const struct frame_header *header)
{
	uint32_t suppressed;

	if (ratelimit_pass(&client->ratelimit, &suppressed))
		log_info("ttrpc: ignored a frame of type %u on stream %" PRIu32
			 ", which expects none (and %" PRIu32 " like it)",
			 header->type, header->stream, suppressed);
}

static void on_frame(void *data, struct frame *frame)
{
	struct ttrpc_client *client = data;
	struct pending *call = pending_find(client, frame->header.stream);
	_cleanup_message_ ProtobufCMessage *response = NULL;
	struct error *error = NULL;

	if (!call || frame->header.stream == 0) {
		log_odd_frame(client, &frame->header);
		return;
	}
	if (frame->oversize)
		(void)error_set(&error, EMSGSIZE,
				"the answer is %" PRIu32 " bytes, above the limit of %u",
				frame->header.length, TTRPC_MESSAGE_MAX);
	else if (frame->header.type != FRAME_RESPONSE)
		(void)error_set(&error, EPROTO, "the answer is an unexpected frame of type %u",
				frame->header.type);
	else
		(void)message_unpack_response(frame->payload, frame->size, call->response,
					      &response, &error);
	if (error)
		complete_error(call, error);
	else
		complete(call, response, NULL);
}

static void tell_closed_later(struct ttrpc_client *client);

static void on_closer(void *data)
{
	struct ttrpc_client *client = data;

	client->closer = NULL;
	/* The functions of those that have failed have made calls meanwhile, or others did in the
	 * round in which the connection ended: these are behind us, and fail first.  But one that
	 * calls again and again does not hold up the news. */
	if (client->pending && ++client->n_held_up < CLOSER_ROUNDS_MAX)
		tell_closed_later(client);
	else
		client->on_close(client->data);
}

static void tell_closed_later(struct ttrpc_client *client)
{
	client->closer = loop_add_timer(client->loop, 0, "ttrpc closed", on_closer, client);
}

static void on_closed(void *data, const char *why)
{
	struct ttrpc_client *client = data;

	connection_free(TAKE_PTR(client->connection));
	/* Timers of one delay fire in the order they were made: the calls, then the client. */
	for (struct pending *call = client->pending; call; call = call->next) {
		struct error *error = NULL;

		(void)error_set(&error, ECONNRESET, "the connection is lost: %s", why);
		fail_later(call, error);
	}
	if (client->on_close)
		tell_closed_later(client);
}

static void on_ended(void *data)
{
	/* A server that sends no more answers nothing more. */
	on_closed(data, "the server has closed it");
}

static const struct connection_events client_events = {
	.frame = on_frame,
	.ended = on_ended,
	.closed = on_closed,
};

/* ---- the client ---- */

int ttrpc_client_new(struct loop *loop, int fd, void (*on_close)(void *data), void *data,
		     struct ttrpc_client **ret_client, struct error **ret_error)
{
	_cleanup_free_ struct ttrpc_client *client = xcalloc(1, sizeof(*client));

	client->loop = loop;
	client->next_stream = 1;
	client->on_close = on_close;
	client->data = data;
	if (connection_new(loop, fd, false, &client_events, client, &client->connection,
			   ret_error) < 0)
		return -1;
	*ret_client = TAKE_PTR(client);
	return 0;
}

void ttrpc_client_free(struct ttrpc_client *client)
{
	if (!client)
		return;
	connection_free(client->connection);
	while (client->pending)
		pending_free(client->pending);
	source_remove(client->closer);
	metadata_free(client->metadata);
	free(client);
}

void ttrpc_client_set_metadata(struct ttrpc_client *client, const char *key, const char *value)
{
	metadata_add(&client->metadata, key, value);
}

static int send_request(struct ttrpc_client *client, struct pending *call,
			const struct ttrpc_request *request, struct error **ret_error)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;

	if (!client->connection)
		return error_set(ret_error, ECONNRESET, "the connection is lost");
	if (client->next_stream > STREAM_MAX)
		return error_set(ret_error, ECONNRESET, "the connection's stream ids are used up");
	if (message_pack_request(request, client->metadata, &bytes, &size, ret_error) < 0)
		return -1;
	if (connection_waiting(client->connection) + FRAME_HEADER_SIZE + size >
	    CONNECTION_WAITING_MAX)
		return error_set(ret_error, ENOBUFS, "the server does not read its requests");
	call->stream = client->next_stream;
	client->next_stream += 2;
	connection_send(client->connection, call->stream, FRAME_REQUEST, bytes, size);
	return 0;
}

void ttrpc_client_call(struct ttrpc_client *client, const struct ttrpc_request *request,
		       ttrpc_reply_fn function, void *data)
{
	struct pending *call = xcalloc(1, sizeof(*call));
	struct ttrpc_request capped = *request;
	struct error *error = NULL;

	capped.timeout_ms = MIN(request->timeout_ms, TIMEOUT_MS_MAX);
	call->client = client;
	call->name = xasprintf("%s/%s", request->service, request->method);
	call->response = request->response;
	call->function = function;
	call->data = data;
	call->next = client->pending;
	if (call->next)
		call->next->previous = call;
	client->pending = call;
	if (send_request(client, call, &capped, &error) < 0)
		fail_later(call, error);
	else if (capped.timeout_ms > 0)
		call->timer = loop_add_timer(client->loop, capped.timeout_ms, "ttrpc timeout",
					     on_timer, call);
}
