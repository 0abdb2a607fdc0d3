/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a call on the server.
 *
 * A call belongs to its handler from dispatch until reply or fail.  It is *open*
 * as long as the client waits for its answer: until it is answered, its deadline
 * passes (the server then answers for the handler), or its connection goes
 * (peer is NULL then).  A call that is not open any more only waits for its
 * handler's answer to be freed; it may outlive the connection and the server.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "protocol/ttrpc.pb-c.h"
#include "ttrpc/message.h"
#include "ttrpc/server.h"

#define STATUS_MESSAGE_MAX (64u << 10)

struct ttrpc_call {
	struct ttrpc_server *server; /* NULL: has gone */
	struct peer *peer;	     /* NULL: the call is not open */
	uint32_t stream;
	ProtobufCMessage *envelope; /* Ttrpc__Request */
	ProtobufCMessage *request;
	size_t memory;		 /* its part of server->calls_memory */
	struct source *deadline; /* timer */
	int fds[FD_PASS_MAX];	 /* -1: taken */
	size_t n_fds;
	struct ttrpc_call *previous, *next;
};

/* ---- answers on the wire ---- */

static void send_response(struct peer *peer, uint32_t stream, const Ttrpc__Response *response)
{
	size_t size = ttrpc__response__get_packed_size(response);
	_cleanup_free_ uint8_t *bytes = NULL;

	if (size > TTRPC_MESSAGE_MAX) {
		peer_refuse(peer, stream, TTRPC_RESOURCE_EXHAUSTED,
			    "the response is %zu bytes, above %u", size, TTRPC_MESSAGE_MAX);
		return;
	}
	bytes = message_pack(&response->base, &size);
	connection_send(peer->connection, stream, FRAME_RESPONSE, bytes, size);
}

static void send_status(struct peer *peer, uint32_t stream, enum ttrpc_code code,
			const char *message)
{
	_cleanup_free_ char *text = xstrndup(message, STATUS_MESSAGE_MAX);
	Ttrpc__Status status = TTRPC__STATUS__INIT;
	Ttrpc__Response response = TTRPC__RESPONSE__INIT;

	message_make_utf8(text);
	status.code = (int32_t)code;
	status.message = text;
	response.status = &status;
	send_response(peer, stream, &response);
}

void peer_refuse(struct peer *peer, uint32_t stream, enum ttrpc_code code, const char *format, ...)
{
	_cleanup_free_ char *message = NULL;
	va_list args;

	va_start(args, format);
	message = xvasprintf(format, args);
	va_end(args);
	send_status(peer, stream, code, message);
}

/* ---- the calls of a server ---- */

static void call_link(struct ttrpc_call *call, struct peer *peer)
{
	struct ttrpc_server *server = peer->server;

	call->server = server;
	call->peer = peer;
	call->next = server->calls;
	if (call->next)
		call->next->previous = call;
	server->calls = call;
	server->calls_memory += call->memory;
	server->calls_fds += call->n_fds;
	peer->n_calls++;
}

static void call_unlink(struct ttrpc_call *call)
{
	struct ttrpc_server *server = call->server;

	if (!server)
		return;
	if (call->next)
		call->next->previous = call->previous;
	if (call->previous)
		call->previous->next = call->next;
	else
		server->calls = call->next;
	server->calls_memory -= call->memory;
	server->calls_fds -= call->n_fds;
	call->server = NULL;
}

static void call_free(struct ttrpc_call *call)
{
	if (!call)
		return;
	call_unlink(call);
	source_remove(call->deadline);
	for (size_t i = 0; i < call->n_fds; i++)
		close_fdp(&call->fds[i]);
	protobuf_c_message_free_unpacked(call->envelope, NULL);
	protobuf_c_message_free_unpacked(call->request, NULL);
	free(call);
}
DEFINE_CLEANUP(struct ttrpc_call, call_free)

bool ttrpc_call_is_open(const struct ttrpc_call *call)
{
	return call->peer;
}

/* The call is open no more; returns whom to answer, or NULL. */
static struct peer *call_close(struct ttrpc_call *call)
{
	source_clear(&call->deadline);
	return TAKE_PTR(call->peer);
}

void calls_detach(struct ttrpc_server *server, const struct peer *peer)
{
	struct ttrpc_call *next;

	for (struct ttrpc_call *call = server->calls; call; call = next) {
		next = call->next;
		if (call->peer == peer)
			(void)call_close(call);
		if (!peer)
			call_unlink(call);
	}
}

bool peer_has_call(const struct peer *peer, uint32_t stream)
{
	for (const struct ttrpc_call *call = peer->server->calls; call; call = call->next)
		if (call->peer == peer && call->stream == stream)
			return true;
	return false;
}

/* ---- dispatch ---- */

static const struct ttrpc_service *find_service(const struct ttrpc_server *server, const char *name)
{
	for (size_t i = 0; i < server->n_services; i++)
		if (strcmp(server->services[i].name, name) == 0)
			return &server->services[i];
	return NULL;
}

static const struct ttrpc_method *find_method(const struct ttrpc_service *service, const char *name)
{
	for (size_t i = 0; i < service->n_methods; i++)
		if (strcmp(service->methods[i].name, name) == 0)
			return &service->methods[i];
	return NULL;
}

static void on_deadline(void *data)
{
	struct ttrpc_call *call = data;
	struct peer *peer;

	call->deadline = NULL; /* a timer that fires is gone */
	peer = call_close(call);
	send_status(peer, call->stream, TTRPC_DEADLINE_EXCEEDED, "deadline exceeded");
	peer->call_answered(peer);
}

/* Takes the frame's descriptors over and charges the call to the server. */
static bool call_admit(struct ttrpc_call *call, struct peer *peer, struct frame *frame)
{
	const struct ttrpc_server *server = peer->server;

	if (peer->n_calls >= CALLS_MAX || server->calls_memory + call->memory > CALLS_MEMORY_MAX ||
	    server->calls_fds + frame->n_fds > CALLS_FDS_MAX) {
		peer_refuse(peer, call->stream, TTRPC_RESOURCE_EXHAUSTED,
			    "too many calls are waiting to be answered");
		return false;
	}
	memcpy(call->fds, frame->fds, frame->n_fds * sizeof(call->fds[0]));
	call->n_fds = frame->n_fds;
	frame->n_fds = 0;
	call_link(call, peer);
	return true;
}

/* Unpacks the payload for its method; refuses the call if it cannot. */
static bool call_unpack(struct ttrpc_call *call, struct peer *peer,
			const struct ttrpc_method *method)
{
	Ttrpc__Request *envelope = (Ttrpc__Request *)call->envelope;
	size_t memory;

	call->request =
	    message_unpack(method->request, envelope->payload.data, envelope->payload.len, &memory);
	if (!call->request) {
		peer_refuse(peer, call->stream, TTRPC_INVALID_ARGUMENT,
			    "the payload of %s is not a %s", method->name, method->request->name);
		return false;
	}
	call->memory += memory;
	call->memory -= envelope->payload.len; /* part of what the envelope took */
	free(envelope->payload.data);	       /* as malloc() gave it to message_unpack() */
	envelope->payload.data = NULL;
	envelope->payload.len = 0;
	return true;
}

static void call_run(struct ttrpc_call *call, const struct ttrpc_service *service,
		     const struct ttrpc_method *method)
{
	const Ttrpc__Request *envelope = (const Ttrpc__Request *)call->envelope;

	if (envelope->timeout_nano > 0)
		call->deadline = loop_add_timer(
		    call->server->loop, ((uint64_t)envelope->timeout_nano - 1) / 1000000 + 1,
		    "ttrpc deadline", on_deadline, call);
	method->handler(call, call->request, service->data);
}

void call_dispatch(struct peer *peer, struct frame *frame)
{
	_cleanup_(call_freep) struct ttrpc_call *call = xcalloc(1, sizeof(*call));
	const struct ttrpc_service *service;
	const struct ttrpc_method *method;
	const Ttrpc__Request *envelope;

	call->stream = frame->header.stream;
	call->envelope =
	    message_unpack(&ttrpc__request__descriptor, frame->payload, frame->size, &call->memory);
	envelope = (const Ttrpc__Request *)call->envelope;
	if (!envelope) {
		peer_refuse(peer, call->stream, TTRPC_INVALID_ARGUMENT,
			    "the frame does not hold a ttrpc request");
		return;
	}
	service = find_service(peer->server, envelope->service);
	if (!service) {
		/* containerd looks for this very wording. */
		peer_refuse(peer, call->stream, TTRPC_UNIMPLEMENTED, "service %s",
			    envelope->service);
		return;
	}
	method = find_method(service, envelope->method);
	if (!method) {
		peer_refuse(peer, call->stream, TTRPC_UNIMPLEMENTED, "method %s", envelope->method);
		return;
	}
	if (frame->header.flags & (FRAME_REMOTE_CLOSED | FRAME_REMOTE_OPEN)) {
		peer_refuse(peer, call->stream, TTRPC_UNIMPLEMENTED, "method %s does not stream",
			    envelope->method);
		return;
	}
	if (envelope->timeout_nano < 0) {
		peer_refuse(peer, call->stream, TTRPC_DEADLINE_EXCEEDED, "deadline exceeded");
		return;
	}
	call->memory += sizeof(*call);
	if (call_unpack(call, peer, method) && call_admit(call, peer, frame))
		call_run(TAKE_PTR(call), service, method);
}

/* ---- the handler's side ---- */

void ttrpc_call_reply(struct ttrpc_call *call, const ProtobufCMessage *response)
{
	struct peer *peer = call_close(call);

	if (peer) {
		Ttrpc__Response envelope = TTRPC__RESPONSE__INIT;
		_cleanup_free_ uint8_t *payload = message_pack(response, &envelope.payload.len);

		envelope.payload.data = payload;
		send_response(peer, call->stream, &envelope);
		peer->call_answered(peer);
	}
	call_free(call);
}

static void call_fail(struct ttrpc_call *call, enum ttrpc_code code, const char *message)
{
	struct peer *peer = call_close(call);

	if (peer) {
		send_status(peer, call->stream, code, message);
		peer->call_answered(peer);
	}
	call_free(call);
}

void ttrpc_call_fail(struct ttrpc_call *call, enum ttrpc_code code, const char *format, ...)
{
	_cleanup_free_ char *message = NULL;
	va_list args;

	va_start(args, format);
	message = xvasprintf(format, args);
	va_end(args);
	call_fail(call, code, message);
}

void ttrpc_call_fail_error(struct ttrpc_call *call, const struct error *error)
{
	call_fail(call, ttrpc_code_of_errno(error->code), error->message);
}

const char *ttrpc_call_metadata(const struct ttrpc_call *call, const char *key)
{
	const Ttrpc__Request *envelope = (const Ttrpc__Request *)call->envelope;

	for (size_t i = 0; i < envelope->n_metadata; i++)
		if (strcmp(envelope->metadata[i]->key, key) == 0)
			return envelope->metadata[i]->value;
	return NULL;
}

int ttrpc_call_take_fd(struct ttrpc_call *call, size_t index)
{
	return index < call->n_fds ? TAKE_FD(call->fds[index]) : -1;
}

size_t ttrpc_call_fds(const struct ttrpc_call *call)
{
	return call->n_fds;
}
