/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a ttrpc server or client whose peer is the input.
 *
 * The first byte says which (odd: the client). What follows are packets: a
 * length byte and that many bytes, written to the socket as they are, the loop
 * running after each; so frames arrive in pieces of any size. A length of 0 is
 * followed by an action byte instead (enum action).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"
#include "base/loop.h"
#include "protocol/task.pb-c.h"
#include "ttrpc/ttrpc.h"

#define HELD_MAX 64

enum action {
	ACTION_ANSWER, /* server: reply to the last held call; client: call */
	ACTION_FAIL,   /* server: fail the last held call; client: call with a time limit */
	ACTION_DRAIN,  /* read what came back */
	ACTION_SHUT,   /* half-close */
	ACTION_FDS,    /* the next packet carries descriptors */
	ACTION_FREE,   /* free the server or client */
	N_ACTIONS,
};

struct fuzz {
	struct loop *loop;
	struct ttrpc_server *server;
	struct ttrpc_client *client;
	int fd;
	bool with_fds;
	struct ttrpc_call *held[HELD_MAX];
	size_t n_held;
	size_t n_called, n_answered;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_create(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__CreateTaskRequest *request = (const Task__CreateTaskRequest *)message;
	struct fuzz *fuzz = data;
	int fd = ttrpc_call_take_fd(call, request->n_rootfs);

	if (fd >= 0)
		(void)close(fd);
	(void)ttrpc_call_metadata(call, request->id);
	if (fuzz->n_held < HELD_MAX)
		fuzz->held[fuzz->n_held++] = call;
	else
		ttrpc_call_fail(call, TTRPC_ABORTED, "%s", request->stdin);
}

static void on_state(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__StateRequest *request = (const Task__StateRequest *)message;
	Task__StateResponse state = TASK__STATE_RESPONSE__INIT;

	(void)data;
	state.id = request->id;
	state.exec_id = request->exec_id;
	ttrpc_call_reply(call, &state.base);
}

static void on_reply(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct fuzz *fuzz = data;

	if (!response == !error)
		abort();
	fuzz->n_answered++;
}

static void on_close(void *data)
{
	(void)data;
}

static void call_client(struct fuzz *fuzz, uint64_t timeout_ms)
{
	Task__StateRequest request = TASK__STATE_REQUEST__INIT;
	const struct ttrpc_request call = { .service = "s",
					    .method = "State",
					    .message = &request.base,
					    .response = &task__state_response__descriptor,
					    .timeout_ms = timeout_ms };

	if (!fuzz->client)
		return;
	request.id = "id";
	fuzz->n_called++;
	ttrpc_client_call(fuzz->client, &call, on_reply, fuzz);
}

static void end_call(struct fuzz *fuzz, bool answer)
{
	Task__CreateTaskResponse response = TASK__CREATE_TASK_RESPONSE__INIT;

	if (fuzz->n_held == 0)
		return;
	response.pid = 1;
	if (answer)
		ttrpc_call_reply(fuzz->held[--fuzz->n_held], &response.base);
	else
		ttrpc_call_fail(fuzz->held[--fuzz->n_held], TTRPC_NOT_FOUND, "no such thing");
}

static void drain(const struct fuzz *fuzz)
{
	static uint8_t bytes[1 << 16];

	while (recv(fuzz->fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void act(struct fuzz *fuzz, enum action action)
{
	if (action == ACTION_ANSWER) {
		end_call(fuzz, true);
		call_client(fuzz, 0);
	} else if (action == ACTION_FAIL) {
		end_call(fuzz, false);
		call_client(fuzz, 1);
	} else if (action == ACTION_DRAIN) {
		drain(fuzz);
	} else if (action == ACTION_SHUT) {
		(void)shutdown(fuzz->fd, SHUT_WR);
	} else if (action == ACTION_FDS) {
		fuzz->with_fds = true;
	} else {
		/* Calls still held end later, with nobody there. */
		ttrpc_server_free(TAKE_PTR(fuzz->server));
		ttrpc_client_free(TAKE_PTR(fuzz->client));
	}
}

static void put(struct fuzz *fuzz, const uint8_t *bytes, size_t size)
{
	const int fds[2] = { STDERR_FILENO, STDERR_FILENO };

	(void)send_with_fds(fuzz->fd, bytes, size, fds, fuzz->with_fds ? 2 : 0);
	fuzz->with_fds = false;
}

static void run(struct fuzz *fuzz, const uint8_t *data, size_t size)
{
	while (size >= 2) {
		size_t length = data[0];

		if (length == 0) {
			act(fuzz, data[1] % N_ACTIONS);
			length = 1;
		} else {
			length = MIN(length, size - 1);
			put(fuzz, data + 1, length);
		}
		data += 1 + length;
		size -= 1 + length;
		loop_step(fuzz->loop, 0);
	}
	for (int i = 0; i < 4; i++) {
		loop_step(fuzz->loop, 0);
		drain(fuzz);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ttrpc_method methods[] = {
		{ "Create", &task__create_task_request__descriptor, on_create },
		{ "State", &task__state_request__descriptor, on_state },
	};
	struct fuzz fuzz = { 0 };
	struct ttrpc_service service = { "s", methods, ARRAY_SIZE(methods), &fuzz };
	int fds[2];

	if (size == 0)
		return 0;
	log_set_level(LOG_LEVEL_ERROR);
	if (loop_new(&fuzz.loop, NULL) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		abort();
	fuzz.fd = fds[1];
	if (data[0] % 2) {
		if (ttrpc_client_new(fuzz.loop, fds[0], on_close, NULL, &fuzz.client, NULL) < 0)
			abort();
		for (int i = 0; i < 3; i++)
			call_client(&fuzz, 0);
	} else {
		fuzz.server = ttrpc_server_new(fuzz.loop, &service, 1);
		if (ttrpc_server_serve(fuzz.server, fds[0], on_close, NULL, NULL) < 0)
			abort();
	}
	run(&fuzz, data + 1, size - 1);
	(void)close(fuzz.fd);
	for (int i = 0; i < 4; i++)
		loop_step(fuzz.loop, 0);
	/* With its connection lost, each call has had its answer, and one. */
	if (fuzz.n_answered > fuzz.n_called || (fuzz.client && fuzz.n_answered < fuzz.n_called))
		abort();
	ttrpc_server_free(fuzz.server);
	ttrpc_client_free(fuzz.client);
	while (fuzz.n_held > 0)
		end_call(&fuzz, true);
	loop_free(fuzz.loop);
	return 0;
}
