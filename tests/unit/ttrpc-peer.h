/* SPDX-License-Identifier: Apache-2.0 */
/* A ttrpc server and, on the same thread, a peer of it that writes raw bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "protocol/ttrpc.pb-c.h"
#include "tests/unit/ttrpc-service.h"
#include "ttrpc/frame.h"

struct peer_test {
	struct loop *loop;
	struct test_service service;
	int fd;	      /* the peer's end, non-blocking */
	int n_closed; /* connections the server has seen end */
	struct frame_decoder decoder;
};

void peer_setup(struct peer_test *f);
void peer_teardown(struct peer_test *f);
/* Another connection to the server. */
int peer_connect(struct peer_test *f);
/* Runs the server as far as it gets without waiting. */
void peer_step(struct peer_test *f);

/* Writes all of it, running the server meanwhile. */
void peer_put(struct peer_test *f, const void *bytes, size_t size);
void peer_put_frame(struct peer_test *f, uint32_t stream, uint8_t type, uint8_t flags,
		    const void *payload, size_t size);
/* A ttrpc.Request with a task.ExecProcessRequest of id and stdin; caller frees. */
uint8_t *peer_pack(const char *service, const char *method, const char *id, const char *text,
		   int64_t timeout_nano, size_t *ret_size);
void peer_put_request(struct peer_test *f, uint32_t stream, const char *method, const char *id,
		      const char *text);
/* A request frame, written at once, with the read ends of n pipes; the i-th
 * holds the byte 'a' + i. */
void peer_put_with_fds(struct peer_test *f, uint32_t stream, const char *method, const char *text,
		       size_t n);

/* Reads the next frame into f->decoder (true); or there is none for now, or the
 * stream has ended (*ret_end). */
bool peer_get_frame(struct peer_test *f, bool *ret_end);
/* The next frame, which must be a response on the stream. */
Ttrpc__Response *peer_get_response(struct peer_test *f, uint32_t stream);
void peer_check_status(struct peer_test *f, uint32_t stream, int code, const char *part);
/* A task.StateResponse with id and stdin. */
void peer_check_reply(struct peer_test *f, uint32_t stream, const char *id, const char *text);
/* The connection is there and says nothing. */
void peer_check_silence(struct peer_test *f);
/* The server has ended the connection. */
void peer_check_end(struct peer_test *f);
/* A call on the stream is answered. */
void peer_check_works(struct peer_test *f, uint32_t stream);
