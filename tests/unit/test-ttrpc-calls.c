/* SPDX-License-Identifier: Apache-2.0 */
/* ttrpc: whole calls, from our clients to our server on another thread. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/unit/test.h"
#include "tests/unit/ttrpc-service.h"

/* One synchronous call with id, stdin and descriptors. */
static int call_sync(int fd, const char *method, const char *id, const char *text, const int *fds,
		     size_t n_fds, uint64_t timeout_ms, Task__StateResponse **ret_state,
		     struct error **ret_error)
{
	Task__ExecProcessRequest request = TASK__EXEC_PROCESS_REQUEST__INIT;
	ProtobufCMessage *response;

	request.id = (char *)id;
	request.stdin = (char *)text;
	if (ttrpc_call_sync(fd, -1,
			    &(struct ttrpc_request){ .service = TEST_SERVICE,
						     .method = method,
						     .message = &request.base,
						     .response = &task__state_response__descriptor,
						     .timeout_ms = timeout_ms,
						     .fds = fds,
						     .n_fds = n_fds },
			    &response, ret_error) < 0)
		return -1;
	*ret_state = (Task__StateResponse *)response;
	return 0;
}

static void check_echo(int fd, const char *id, const char *text)
{
	struct error *error = NULL;
	Task__StateResponse *state = NULL;

	CHECK_OK(call_sync(fd, "Echo", id, text, NULL, 0, 10000, &state, &error), &error);
	CHECK_STRING(state->id, id);
	CHECK_STRING(state->stdin, text);
	task__state_response__free_unpacked(state, NULL);
}

static void test_sync(void)
{
	struct test_server server;
	int fd;

	test_server_start(&server);
	fd = test_server_connect(&server);
	for (int i = 0; i < 3; i++)
		check_echo(fd, "one", "text");
	CHECK(set_nonblocking(fd, true) == 0);
	check_echo(fd, "two", "");
	CHECK(close(fd) == 0);
	test_server_stop(&server);
}

static void test_sync_large(void)
{
	const size_t size = 4000000;
	_cleanup_free_ char *text = xmalloc(size + 1);
	struct test_server server;
	struct error *error = NULL;
	Task__StateResponse *state;
	int fd;

	for (size_t i = 0; i < size; i++)
		text[i] = (char)('a' + i * 31 % 25);
	text[size] = '\0';
	test_server_start(&server);
	fd = test_server_connect(&server);
	check_echo(fd, "large", text);
	CHECK(set_nonblocking(fd, true) == 0);
	check_echo(fd, "large", text);
	CHECK_ERROR(call_sync(fd, "Big", "4194304", "", NULL, 0, 10000, &state, &error), &error,
		    "above 4194304");
	check_echo(fd, "after", "");
	CHECK(close(fd) == 0);
	test_server_stop(&server);
}

static void test_sync_errors(void)
{
	struct test_server server;
	struct error *error = NULL;
	Task__StateResponse *state;
	uint64_t start;
	int fd, pair[2];

	test_server_start(&server);
	fd = test_server_connect(&server);
	CHECK(call_sync(fd, "Fail", "5", "no such thing", NULL, 0, 0, &state, &error) < 0);
	CHECK_INT(error->code, ENOENT);
	CHECK_ERROR(-1, &error, "no such thing");
	CHECK(call_sync(fd, "Other", "", "", NULL, 0, 0, &state, &error) < 0);
	CHECK_INT(error->code, ENOSYS);
	CHECK_ERROR(-1, &error, "method Other");

	start = clock_monotonic_ns();
	CHECK(call_sync(fd, "Hold", "late", "", NULL, 0, 30, &state, &error) < 0);
	CHECK_INT(error->code, ETIMEDOUT);
	CHECK(clock_monotonic_ns() - start >= 30000000);
	error_free(error);
	error = NULL;
	CHECK(close(fd) == 0);

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	/* A peer that neither reads nor answers, though the request is longer than
	 * the socket takes and the socket blocks. */
	{
		const size_t size = 4000000;
		_cleanup_free_ char *text = xmalloc(size + 1);

		memset(text, 'x', size);
		text[size] = '\0';
		CHECK(call_sync(pair[0], "Echo", "", text, pair, 1, 30, &state, &error) < 0);
		CHECK_INT(error->code, ETIMEDOUT);
		error_free(error);
		error = NULL;
	}
	(void)close(pair[1]);
	CHECK(call_sync(pair[0], "Echo", "", "", NULL, 0, 1000, &state, &error) < 0);
	CHECK_INT(error->code, ECONNRESET);
	CHECK_ERROR(-1, &error, "connection is lost");
	(void)close(pair[0]);
	test_server_stop(&server);
}

static void test_sync_connection_lost(void)
{
	struct test_server server;
	struct error *error = NULL;
	Task__StateResponse *state;
	int pair[2];

	test_server_start(&server);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	CHECK(shutdown(pair[1], SHUT_WR) == 0);
	CHECK(call_sync(pair[0], "Echo", "", "", NULL, 0, 1000, &state, &error) < 0);
	CHECK_INT(error->code, ECONNRESET);
	error_free(error);
	(void)close(pair[0]);
	(void)close(pair[1]);
	test_server_stop(&server);
}

/* A late answer to a call that was given up does not answer the next one. */
static void test_sync_late_answer(void)
{
	struct error *error = NULL;
	Task__StateResponse *state = NULL;
	/* Stream ids count over the process: 1, then 3. */
	static const uint8_t answers[] = { 0, 0, 0, 5, 0, 0, 0, 1, 2, 0, 0x12, 3, 0x0a, 1, 'a',
					   0, 0, 0, 5, 0, 0, 0, 3, 2, 0, 0x12, 3, 0x0a, 1, 'b' };
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	CHECK(call_sync(pair[0], "Echo", "", "", NULL, 0, 1, &state, &error) < 0);
	CHECK_INT(error->code, ETIMEDOUT);
	error_free(error);
	error = NULL;
	CHECK(write(pair[1], answers, sizeof(answers)) == sizeof(answers));
	CHECK_OK(call_sync(pair[0], "Echo", "", "", NULL, 0, 1000, &state, &error), &error);
	CHECK_STRING(state->id, "b");
	task__state_response__free_unpacked(state, NULL);
}

static void *write_later(void *data)
{
	(void)usleep(100000);
	CHECK(write(*(int *)data, "", 1) == 1);
	return NULL;
}

/* One that can be given up ends as soon as it is to, and is as good as any before. */
static void test_sync_cancelled(void)
{
	Task__ExecProcessRequest request = TASK__EXEC_PROCESS_REQUEST__INIT;
	_cleanup_close_ int in = -1, out = -1;
	struct error *error = NULL;
	ProtobufCMessage *response;
	struct test_server server;
	int fd, other, pipe_fds[2];
	pthread_t thread;
	char byte;

	test_server_start(&server);
	fd = test_server_connect(&server);
	other = test_server_connect(&server);
	CHECK(pipe2(pipe_fds, O_CLOEXEC) == 0);
	in = pipe_fds[0];
	out = pipe_fds[1];
	request.id = (char *)"x";
	CHECK_OK(ttrpc_call_sync(
		     fd, in,
		     &(struct ttrpc_request){ .service = TEST_SERVICE,
					      .method = "Echo",
					      .message = &request.base,
					      .response = &task__state_response__descriptor },
		     &response, &error),
		 &error);
	CHECK_STRING(((Task__StateResponse *)response)->id, "x");
	protobuf_c_message_free_unpacked(response, NULL);
	CHECK(pthread_create(&thread, NULL, write_later, &out) == 0);
	CHECK(ttrpc_call_sync(
		  fd, in,
		  &(struct ttrpc_request){ .service = TEST_SERVICE,
					   .method = "Hold",
					   .message = &request.base,
					   .response = &task__state_response__descriptor },
		  &response, &error) < 0);
	CHECK_INT(error->code, ECANCELED);
	error_free(TAKE_PTR(error));
	CHECK(pthread_join(thread, NULL) == 0);
	/* From the start: then nothing is sent, and no answer comes. */
	CHECK(ttrpc_call_sync(
		  other, in,
		  &(struct ttrpc_request){ .service = TEST_SERVICE,
					   .method = "Echo",
					   .message = &request.base,
					   .response = &task__state_response__descriptor },
		  &response, &error) < 0);
	CHECK_INT(error->code, ECANCELED);
	error_free(TAKE_PTR(error));
	(void)usleep(100000);
	CHECK(recv(other, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	check_echo(other, "y", "");
	(void)close(fd);
	(void)close(other);
	test_server_stop(&server);
}

static void test_sync_descriptors(void)
{
	struct test_server server;
	struct error *error = NULL;
	Task__StateResponse *state = NULL;
	int fd, ends[3][2], fds[3];
	size_t n_fds;

	test_server_start(&server);
	fd = test_server_connect(&server);
	check_echo(fd, "", "");
	n_fds = test_count_fds();
	for (int i = 0; i < 3; i++) {
		CHECK(pipe(ends[i]) == 0);
		CHECK(write(ends[i][1], &"xyz"[i], 1) == 1);
		fds[i] = ends[i][0];
	}
	CHECK_OK(call_sync(fd, "Fds", "", "023", fds, 3, 10000, &state, &error), &error);
	CHECK_STRING(state->stdout, "xz-");
	task__state_response__free_unpacked(state, NULL);
	/* They stay the caller's. */
	for (int i = 0; i < 3; i++) {
		CHECK(close(ends[i][0]) == 0);
		CHECK(close(ends[i][1]) == 0);
	}
	check_echo(fd, "", "");
	CHECK_INT(test_count_fds(), n_fds);
	(void)close(fd);
	test_server_stop(&server);
}

struct caller {
	pthread_t thread;
	int fd;
	int id;
};

static void *call_many(void *data)
{
	struct caller *caller = data;

	for (int i = 0; i < 300; i++) {
		_cleanup_free_ char *id = xasprintf("caller %d call %d", caller->id, i);

		check_echo(caller->fd, id, "text");
	}
	return NULL;
}

static void test_many_connections(void)
{
	struct test_server server;
	struct caller callers[16];

	test_server_start(&server);
	for (int i = 0; i < 16; i++) {
		callers[i] = (struct caller){ .fd = test_server_connect(&server), .id = i };
		CHECK(pthread_create(&callers[i].thread, NULL, call_many, &callers[i]) == 0);
	}
	for (int i = 0; i < 16; i++) {
		CHECK(pthread_join(callers[i].thread, NULL) == 0);
		(void)close(callers[i].fd);
	}
	while (server.n_closed < 16)
		(void)usleep(1000);
	test_server_stop(&server);
}

/* Our client and our server on one loop of this thread. */
struct loopback {
	struct loop *loop;
	struct test_service service;
	struct ttrpc_client *client;
	int n_answers;
	int last;
	int n_wrong;
};

static void loopback_setup(struct loopback *l)
{
	struct error *error = NULL;
	int fds[2];

	memset(l, 0, sizeof(*l));
	CHECK_OK(loop_new(&l->loop, &error), &error);
	test_service_start(&l->service, l->loop);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	CHECK_OK(ttrpc_server_serve(l->service.server, fds[0], NULL, NULL, &error), &error);
	CHECK_OK(ttrpc_client_new(l->loop, fds[1], NULL, NULL, &l->client, &error), &error);
}

static void loopback_teardown(struct loopback *l)
{
	ttrpc_client_free(l->client);
	ttrpc_server_free(l->service.server);
	test_service_release(&l->service);
	loop_free(l->loop);
}

static void on_answer(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct loopback *l = data;
	const Task__StateResponse *state = (const Task__StateResponse *)response;

	CHECK(!error);
	l->n_answers++;
	l->last = atoi(state->id);
	l->n_wrong += strcmp(state->stdin, state->id) != 0;
}

static void loopback_call(struct loopback *l, const char *method, int id)
{
	Task__ExecProcessRequest request = TASK__EXEC_PROCESS_REQUEST__INIT;
	_cleanup_free_ char *text = xasprintf("%d", id);

	request.id = text;
	request.stdin = text;
	ttrpc_client_call(l->client,
			  &(struct ttrpc_request){ .service = TEST_SERVICE,
						   .method = method,
						   .message = &request.base,
						   .response = &task__state_response__descriptor,
						   .timeout_ms = 60000 },
			  on_answer, l);
}

static void await(struct loopback *l, int n_answers)
{
	while (l->n_answers < n_answers)
		loop_step(l->loop, 1000);
	CHECK_INT(l->n_answers, n_answers);
}

/* Waiting calls hold up nothing. */
static void test_many_open_calls(void)
{
	struct loopback l;

	loopback_setup(&l);
	for (int i = 0; i < 1000; i++)
		loopback_call(&l, "Hold", i);
	for (int i = 0; i < 10; i++) {
		loopback_call(&l, "Echo", 5000 + i);
		await(&l, i + 1);
		CHECK_INT(l.last, 5000 + i);
	}
	CHECK_INT(l.service.n_held, 1000);
	test_service_release(&l.service);
	await(&l, 1010);
	CHECK_INT(l.last, 0);
	CHECK_INT(l.n_wrong, 0);
	loopback_teardown(&l);
}

/* Connection lost, server freed, client freed, with calls open. */
static void test_free_with_open_calls(void)
{
	struct loopback l;

	loopback_setup(&l);
	for (int i = 0; i < 10; i++)
		loopback_call(&l, "Hold", i);
	for (int i = 0; i < 10; i++)
		loop_step(l.loop, 0);
	CHECK_INT(l.service.n_held, 10);
	loopback_teardown(&l);
	CHECK_INT(l.n_answers, 0);
}

static void free_client(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct loopback *l = data;

	CHECK(response && !error);
	ttrpc_client_free(TAKE_PTR(l->client));
	ttrpc_server_free(TAKE_PTR(l->service.server));
	loop_quit(l->loop);
}

static void test_free_both_in_function(void)
{
	struct loopback l;
	Task__ExecProcessRequest request = TASK__EXEC_PROCESS_REQUEST__INIT;

	loopback_setup(&l);
	loopback_call(&l, "Hold", 1);
	ttrpc_client_call(l.client,
			  &(struct ttrpc_request){ .service = TEST_SERVICE,
						   .method = "Echo",
						   .message = &request.base,
						   .response = &task__state_response__descriptor },
			  free_client, &l);
	loop_run(l.loop);
	loopback_teardown(&l);
}

static void check_metadata(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct loopback *l = data;

	CHECK(!error);
	CHECK_STRING(((const Task__StateResponse *)response)->bundle, "the value");
	l->n_answers++;
}

static void test_metadata(void)
{
	struct loopback l;
	Task__ExecProcessRequest request = TASK__EXEC_PROCESS_REQUEST__INIT;

	loopback_setup(&l);
	ttrpc_client_set_metadata(l.client, "other", "x");
	ttrpc_client_set_metadata(l.client, "key", "the value");
	ttrpc_client_call(l.client,
			  &(struct ttrpc_request){ .service = TEST_SERVICE,
						   .method = "Echo",
						   .message = &request.base,
						   .response = &task__state_response__descriptor },
			  check_metadata, &l);
	await(&l, 1);
	loopback_teardown(&l);
}

static size_t memory_in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

/* After a first round nothing grows: neither memory nor descriptors. */
static void test_thousands_leak_nothing(void)
{
	struct loopback l;
	size_t memory = 0, n_fds = 0;

	loopback_setup(&l);
	for (int i = 0; i < 10000; i++) {
		loopback_call(&l, "Echo", 1000 + i % 1000);
		await(&l, i + 1);
		if (i == 999) {
			memory = memory_in_use();
			n_fds = test_count_fds();
		}
	}
	CHECK_INT(memory_in_use(), memory);
	CHECK_INT(test_count_fds(), n_fds);
	CHECK_INT(l.n_wrong, 0);
	loopback_teardown(&l);
}

static const struct test_case cases[] = {
	{ "sync", test_sync },
	{ "sync large", test_sync_large },
	{ "sync errors", test_sync_errors },
	{ "sync connection lost", test_sync_connection_lost },
	{ "sync late answer", test_sync_late_answer },
	{ "sync cancelled", test_sync_cancelled },
	{ "sync descriptors", test_sync_descriptors },
	{ "many connections", test_many_connections },
	{ "many open calls", test_many_open_calls },
	{ "free with open calls", test_free_with_open_calls },
	{ "free both in function", test_free_both_in_function },
	{ "metadata", test_metadata },
	{ "thousands leak nothing", test_thousands_leak_nothing },
};

TEST_MAIN(cases)
