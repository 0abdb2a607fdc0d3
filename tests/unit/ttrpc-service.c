/* SPDX-License-Identifier: Apache-2.0 */
/* The ttrpc tests' service: see ttrpc-service.h. */
#include "tests/unit/ttrpc-service.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/unit/test.h"

static void reply_state(struct ttrpc_call *call, const Task__StateResponse *state)
{
	ttrpc_call_reply(call, &state->base);
}

static void on_echo(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__ExecProcessRequest *request = (const Task__ExecProcessRequest *)message;
	Task__StateResponse state = TASK__STATE_RESPONSE__INIT;
	const char *value = ttrpc_call_metadata(call, "key");

	(void)data;
	state.id = request->id;
	state.stdin = request->stdin;
	state.bundle = (char *)(value ? value : "");
	reply_state(call, &state);
}

static void on_hold(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	struct test_service *service = data;

	CHECK(service->n_held < ARRAY_SIZE(service->held));
	service->held[service->n_held++] =
	    (struct held_call){ .call = call,
				.request = (const Task__ExecProcessRequest *)message };
}

void test_service_release(struct test_service *service)
{
	while (service->n_held > 0) {
		struct held_call *held = &service->held[--service->n_held];
		Task__StateResponse state = TASK__STATE_RESPONSE__INIT;

		/* The request must be valid until the call ends, whatever happened to
		 * its connection. */
		state.id = held->request->id;
		state.stdin = held->request->stdin;
		reply_state(held->call, &state);
	}
}

static void on_release(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	Task__StateResponse state = TASK__STATE_RESPONSE__INIT;

	(void)message;
	test_service_release(data);
	reply_state(call, &state);
}

static void on_free(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	struct test_service *service = data;
	Task__StateResponse state = TASK__STATE_RESPONSE__INIT;

	ttrpc_server_free(TAKE_PTR(service->server));
	state.id = ((const Task__ExecProcessRequest *)message)->id;
	reply_state(call, &state);
}

static void on_fail(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__ExecProcessRequest *request = (const Task__ExecProcessRequest *)message;
	_cleanup_free_ char *text = xasprintf("%s\xff", request->stdin);

	(void)data;
	ttrpc_call_fail(call, (enum ttrpc_code)strtoul(request->id, NULL, 10), "%s", text);
}

static void on_fds(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__ExecProcessRequest *request = (const Task__ExecProcessRequest *)message;
	Task__StateResponse state = TASK__STATE_RESPONSE__INIT;
	char bytes[FD_PASS_MAX + 1] = "";

	(void)data;
	for (size_t i = 0; i < strlen(request->stdin); i++) {
		_cleanup_close_ int fd =
		    ttrpc_call_take_fd(call, (size_t)(request->stdin[i] - '0'));

		bytes[i] = '-';
		if (fd >= 0)
			CHECK(read(fd, &bytes[i], 1) == 1);
	}
	state.stdout = bytes;
	reply_state(call, &state);
}

static void on_big(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__ExecProcessRequest *request = (const Task__ExecProcessRequest *)message;
	Task__StateResponse state = TASK__STATE_RESPONSE__INIT;
	size_t size = strtoul(request->id, NULL, 10);
	_cleanup_free_ char *text = xmalloc(size + 1);

	(void)data;
	memset(text, 'x', size);
	text[size] = '\0';
	state.stdout = text;
	reply_state(call, &state);
}

static const struct ttrpc_method methods[] = {
	{ "Echo", &task__exec_process_request__descriptor, on_echo },
	{ "Hold", &task__exec_process_request__descriptor, on_hold },
	{ "Release", &task__exec_process_request__descriptor, on_release },
	{ "Fail", &task__exec_process_request__descriptor, on_fail },
	{ "Fds", &task__exec_process_request__descriptor, on_fds },
	{ "Big", &task__exec_process_request__descriptor, on_big },
	{ "Free", &task__exec_process_request__descriptor, on_free },
};

void test_service_start(struct test_service *service, struct loop *loop)
{
	service->service = (struct ttrpc_service){ .name = TEST_SERVICE,
						   .methods = methods,
						   .n_methods = ARRAY_SIZE(methods),
						   .data = service };
	service->n_held = 0;
	service->server = ttrpc_server_new(loop, &service->service, 1);
}

size_t test_count_fds(void)
{
	_cleanup_dir_ DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	CHECK(dir);
	while (readdir(dir))
		n++;
	return n;
}

static void *run(void *data)
{
	struct test_server *server = data;

	loop_run(server->loop);
	return NULL;
}

void test_server_start(struct test_server *server)
{
	struct error *error = NULL;

	server->n_closed = 0;
	CHECK_OK(loop_new(&server->loop, &error), &error);
	test_service_start(&server->service, server->loop);
	CHECK(pthread_create(&server->thread, NULL, run, server) == 0);
}

struct serve {
	struct test_server *server;
	int fd;
};

static void count_closed(void *data)
{
	struct test_server *server = data;

	server->n_closed++;
}

static void on_serve(void *data)
{
	struct serve *serve = data;
	struct error *error = NULL;

	CHECK_OK(ttrpc_server_serve(serve->server->service.server, serve->fd, count_closed,
				    serve->server, &error),
		 &error);
	free(serve);
}

int test_server_connect(struct test_server *server)
{
	struct serve *serve = xcalloc(1, sizeof(*serve));
	int fds[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	serve->server = server;
	serve->fd = fds[1];
	loop_call(server->loop, on_serve, serve);
	return fds[0];
}

static void on_stop(void *data)
{
	struct test_server *server = data;

	loop_quit(server->loop);
}

void test_server_stop(struct test_server *server)
{
	loop_call(server->loop, on_stop, server);
	CHECK(pthread_join(server->thread, NULL) == 0);
	ttrpc_server_free(server->service.server);
	/* Late answers, with nobody there any more. */
	test_service_release(&server->service);
	loop_free(server->loop);
}
