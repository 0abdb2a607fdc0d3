/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ttrpc: containerd's RPC over a stream socket (PROTOCOL.md of
 * containerd/ttrpc; frame layout at the top of frame.c).
 *
 * Messages are protobuf-c structs described by their generated descriptors.
 * Server and asynchronous client live on an event loop; calls of one
 * connection run concurrently.  The synchronous client is for command-line
 * verbs.  Frames, counts of streams and of waiting bytes are bounded: a peer
 * that breaks the rules loses its connection, nothing else.  A server and a
 * client are freed before their loop.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/io.h"
#include "base/loop.h"

#define TTRPC_MESSAGE_MAX (4u << 20)

/* google.rpc.Code */
enum ttrpc_code {
	TTRPC_OK = 0,
	TTRPC_CANCELLED = 1,
	TTRPC_UNKNOWN = 2,
	TTRPC_INVALID_ARGUMENT = 3,
	TTRPC_DEADLINE_EXCEEDED = 4,
	TTRPC_NOT_FOUND = 5,
	TTRPC_ALREADY_EXISTS = 6,
	TTRPC_PERMISSION_DENIED = 7,
	TTRPC_RESOURCE_EXHAUSTED = 8,
	TTRPC_FAILED_PRECONDITION = 9,
	TTRPC_ABORTED = 10,
	TTRPC_OUT_OF_RANGE = 11,
	TTRPC_UNIMPLEMENTED = 12,
	TTRPC_INTERNAL = 13,
	TTRPC_UNAVAILABLE = 14,
};
/* The mapping between errno values (struct error) and codes, both ways:
 * ENOENT↔NOT_FOUND, EEXIST↔ALREADY_EXISTS, EINVAL↔INVALID_ARGUMENT,
 * EBUSY↔FAILED_PRECONDITION, ENOSYS↔UNIMPLEMENTED, ETIMEDOUT↔DEADLINE_EXCEEDED,
 * EPERM/EACCES↔PERMISSION_DENIED, ECONNRESET↔UNAVAILABLE, others↔UNKNOWN (EIO). */
enum ttrpc_code ttrpc_code_of_errno(int code);
int ttrpc_errno_of_code(int32_t code);

/* ---- server ---- */

struct ttrpc_server;
struct ttrpc_call; /* one request being served; ends with reply or fail */

/* request is valid until the call ends (it is the call's). data is the
 * service's. */
typedef void (*ttrpc_handler_fn)(struct ttrpc_call *call, const ProtobufCMessage *request,
				 void *data);

struct ttrpc_method {
	const char *name;
	const ProtobufCMessageDescriptor *request;
	ttrpc_handler_fn handler;
};

struct ttrpc_service {
	const char *name; /* e.g. "containerd.task.v2.Task" */
	const struct ttrpc_method *methods;
	size_t n_methods;
	void *data;
};

/* services (an array that outlives the server) are shared by all connections. */
struct ttrpc_server *ttrpc_server_new(struct loop *loop, const struct ttrpc_service *services,
				      size_t n_services);
/* Closes every connection; open calls are cancelled (their reply then does
 * nothing but free them, so handlers in progress stay safe).  Calls no on_close. */
void ttrpc_server_free(struct ttrpc_server *server);
DEFINE_CLEANUP(struct ttrpc_server, ttrpc_server_free)
/* From now on the end of what a peer sends is the end of its connection: answers that are still
 * due, which may take for ever, are not waited for. */
void ttrpc_server_end_early(struct ttrpc_server *server);
/* Accepts connections from a listening socket, which becomes the server's, on
 * failure too. */
int ttrpc_server_listen(struct ttrpc_server *server, int listen_fd, struct error **ret_error);
/* Serves a connected socket, which becomes the server's, on failure too.
 * on_close (may be NULL) is called once, from the loop, when the connection has
 * ended other than by ttrpc_server_free(). */
int ttrpc_server_serve(struct ttrpc_server *server, int fd, void (*on_close)(void *data),
		       void *data, struct error **ret_error);

/* Answer and end the call; it must not be touched after.  response is the
 * caller's.  Works after the connection has gone (then it only frees). */
void ttrpc_call_reply(struct ttrpc_call *call, const ProtobufCMessage *response);
void ttrpc_call_fail(struct ttrpc_call *call, enum ttrpc_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same from an error object, which stays the caller's. */
void ttrpc_call_fail_error(struct ttrpc_call *call, const struct error *error);
/* Somebody still waits for the answer. */
bool ttrpc_call_is_open(const struct ttrpc_call *call);
/* A value of the request's metadata, or NULL; valid until the call ends. */
const char *ttrpc_call_metadata(const struct ttrpc_call *call, const char *key);
/* Descriptors that came with the call's frames (SCM_RIGHTS), in order: takes
 * index-th over (then the caller's), or -1. Those not taken are closed when
 * the call ends. */
int ttrpc_call_take_fd(struct ttrpc_call *call, size_t index);
/* How many came, those that have been taken included. */
size_t ttrpc_call_fds(const struct ttrpc_call *call);

/* ---- clients ---- */

/* A call that a client makes; everything is the caller's. */
struct ttrpc_request {
	const char *service, *method;
	const ProtobufCMessage *message;
	const ProtobufCMessageDescriptor *response; /* what the answer is to be */
	uint64_t timeout_ms;			    /* 0: none */
	/* Descriptors that travel with it (n_fds <= FD_PASS_MAX): of the synchronous client. */
	const int *fds;
	size_t n_fds;
};

/* ---- asynchronous client ---- */

struct ttrpc_client;

/* Exactly one of response and error is not NULL; both are the client's, valid
 * during the callback. */
typedef void (*ttrpc_reply_fn)(void *data, const ProtobufCMessage *response,
			       const struct error *error);

/* fd (connected) becomes the client's, on failure too.  on_close (may be NULL)
 * is called once when the connection has ended other than by free(), after
 * every open call has failed with ECONNRESET, one that was made meanwhile, too. */
int ttrpc_client_new(struct loop *loop, int fd, void (*on_close)(void *data), void *data,
		     struct ttrpc_client **ret_client, struct error **ret_error);
/* Open calls' callbacks are not called. */
void ttrpc_client_free(struct ttrpc_client *client);
DEFINE_CLEANUP(struct ttrpc_client, ttrpc_client_free)
/* function is always called exactly once, never from within this call; it may be NULL.
 * Nothing of the request is needed after this call. */
void ttrpc_client_call(struct ttrpc_client *client, const struct ttrpc_request *request,
		       ttrpc_reply_fn function, void *data);
/* Adds a key and value to every later request. */
void ttrpc_client_set_metadata(struct ttrpc_client *client, const char *key, const char *value);

/* ---- synchronous client ---- */

/* One call on a connected socket that carries nothing else meanwhile (calls may
 * follow one another on it, until one fails that the server did not answer).
 * *ret_response is freed with protobuf_c_message_free_unpacked(…, NULL).  A
 * failure answered by the server keeps its message, and its code as errno.  The call is
 * given up with ECANCELED once cancel_fd (-1: none) can be read; the connection is of no
 * more use then. */
int ttrpc_call_sync(int fd, int cancel_fd, const struct ttrpc_request *request,
		    ProtobufCMessage **ret_response, struct error **ret_error);
