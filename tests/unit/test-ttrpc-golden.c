/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real peer's bytes: what containerd 1.6.20 (Debian 12) and its runc shim said to
 * each other, recorded by a proxy between them while `ctr` ran a container, three
 * execs, pause, resume, ps, metrics, checkpoint, kill and delete.
 *
 * data/ttrpc/task.frames is containerd (">") and the shim ("<"), events.frames the
 * shim (">") and containerd; one frame a line, in hexadecimal.  What they sent must
 * be understood to the last field, and what we send for the same content must be the
 * same bytes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "protocol/events.pb-c.h"
#include "protocol/ttrpc.pb-c.h"
#include "tests/unit/test.h"
#include "ttrpc/any.h"
#include "ttrpc/frame.h"
#include "ttrpc/message.h"
#include "ttrpc/ttrpc.h"

#define FRAMES_MAX 256

struct golden_frame {
	bool request;
	uint8_t *bytes;
	size_t size;
	struct frame_header header;
	ProtobufCMessage *envelope; /* Ttrpc__Request or Ttrpc__Response */
};

struct conversation {
	struct golden_frame frames[FRAMES_MAX];
	size_t n;
};

static const struct {
	const char *name;
	const ProtobufCMessageDescriptor *request, *response;
} methods[] = {
	{ "Create", &task__create_task_request__descriptor,
	  &task__create_task_response__descriptor },
	{ "Connect", &task__connect_request__descriptor, &task__connect_response__descriptor },
	{ "Start", &task__start_request__descriptor, &task__start_response__descriptor },
	{ "State", &task__state_request__descriptor, &task__state_response__descriptor },
	{ "Exec", &task__exec_process_request__descriptor, &task__empty__descriptor },
	{ "Wait", &task__wait_request__descriptor, &task__wait_response__descriptor },
	{ "Delete", &task__delete_request__descriptor, &task__delete_response__descriptor },
	{ "Pause", &task__pause_request__descriptor, &task__empty__descriptor },
	{ "Resume", &task__resume_request__descriptor, &task__empty__descriptor },
	{ "Pids", &task__pids_request__descriptor, &task__pids_response__descriptor },
	{ "Stats", &task__stats_request__descriptor, &task__stats_response__descriptor },
	{ "ResizePty", &task__resize_pty_request__descriptor, &task__empty__descriptor },
	{ "CloseIO", &task__close_iorequest__descriptor, &task__empty__descriptor },
	{ "Checkpoint", &task__checkpoint_task_request__descriptor, &task__empty__descriptor },
	{ "Kill", &task__kill_request__descriptor, &task__empty__descriptor },
	{ "Shutdown", &task__shutdown_request__descriptor, &task__empty__descriptor },
	{ "Forward", &events__forward_request__descriptor, &task__empty__descriptor },
};
#define N_METHODS ARRAY_SIZE(methods)

static size_t find_method(const char *name)
{
	for (size_t i = 0; i < N_METHODS; i++)
		if (strcmp(methods[i].name, name) == 0)
			return i;
	test_fail(__FILE__, __LINE__, "unknown method %s", name);
}

/* Bytes arrive in any portions: here, of 7. */
static void decode(struct golden_frame *frame)
{
	struct frame_decoder decoder = { 0 };
	size_t done = 0;
	bool whole = false;

	while (done < frame->size) {
		uint8_t *where;
		size_t room = frame_decoder_want(&decoder, &where);
		size_t size = frame->size - done < 7 ? frame->size - done : 7;

		size = size < room ? size : room;
		memcpy(where, frame->bytes + done, size);
		done += size;
		CHECK(!whole);
		whole = frame_decoder_advance(&decoder, size);
	}
	CHECK(whole && !frame_decoder_oversize(&decoder));
	frame->header = decoder.header;
	CHECK_INT(frame->header.type, frame->request ? FRAME_REQUEST : FRAME_RESPONSE);
	CHECK_INT(frame->header.flags, 0);
	frame->envelope = message_unpack(
	    frame->request ? &ttrpc__request__descriptor : &ttrpc__response__descriptor,
	    buffer_data(&decoder.payload), buffer_length(&decoder.payload), NULL);
	CHECK(frame->envelope);
	frame_decoder_done(&decoder);
}

static struct conversation *load(const char *name)
{
	struct conversation *conversation = xcalloc(1, sizeof(*conversation));
	_cleanup_free_ char *path = xasprintf(TEST_DATA "/%s", name);
	_cleanup_free_ char *text = NULL;
	struct error *error = NULL;
	char *rest = NULL;

	CHECK_OK(read_file(path, 1 << 20, &text, NULL, &error), &error);
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		struct golden_frame *frame = &conversation->frames[conversation->n++];

		CHECK(conversation->n <= FRAMES_MAX && strlen(line) % 2 == 0);
		frame->request = line[0] == '>';
		frame->size = strlen(line + 2) / 2;
		frame->bytes = xmalloc(frame->size);
		for (size_t i = 0; i < frame->size; i++)
			CHECK(sscanf(line + 2 + 2 * i, "%2hhx", &frame->bytes[i]) == 1);
		decode(frame);
	}
	CHECK(conversation->n > 30);
	return conversation;
}

static void unload(struct conversation *conversation)
{
	for (size_t i = 0; i < conversation->n; i++) {
		protobuf_c_message_free_unpacked(conversation->frames[i].envelope, NULL);
		free(conversation->frames[i].bytes);
	}
	free(conversation);
}

/* The request that this response answers, by its stream. */
static const Ttrpc__Request *request_of(const struct conversation *conversation, uint32_t stream)
{
	for (size_t i = 0; i < conversation->n; i++)
		if (conversation->frames[i].request &&
		    conversation->frames[i].header.stream == stream)
			return (const Ttrpc__Request *)conversation->frames[i].envelope;
	test_fail(__FILE__, __LINE__, "stream %u has no request", stream);
}

static const struct golden_frame *response_of(const struct conversation *conversation,
					      uint32_t stream)
{
	for (size_t i = 0; i < conversation->n; i++)
		if (!conversation->frames[i].request &&
		    conversation->frames[i].header.stream == stream)
			return &conversation->frames[i];
	test_fail(__FILE__, __LINE__, "stream %u has no response", stream);
}

/* ---- decoding ---- */

/* No field that our .proto files do not have, however deep. */
static void check_known(const ProtobufCMessage *message)
{
	if (message->n_unknown_fields > 0)
		test_fail(__FILE__, __LINE__, "%s has an unknown field %u",
			  message->descriptor->name, message->unknown_fields[0].tag);
	for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		const char *member = (const char *)message + field->offset;
		const char *quantifier = (const char *)message + field->quantifier_offset;

		if (field->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			ProtobufCMessage *const *list = *(ProtobufCMessage *const *const *)member;

			for (size_t k = 0; k < *(const size_t *)quantifier; k++)
				check_known(list[k]);
		} else if (*(ProtobufCMessage *const *)member) {
			check_known(*(ProtobufCMessage *const *)member);
		}
	}
}

/* Understood in full, and packed again it is what came. */
static ProtobufCMessage *check_message(const ProtobufCMessageDescriptor *descriptor,
				       const ProtobufCBinaryData *bytes)
{
	ProtobufCMessage *message = message_unpack(descriptor, bytes->data, bytes->len, NULL);
	_cleanup_free_ uint8_t *packed = NULL;
	size_t size;

	CHECK(message);
	check_known(message);
	packed = message_pack(message, &size);
	CHECK_INT(size, bytes->len);
	CHECK(size == 0 || memcmp(packed, bytes->data, size) == 0);
	return message;
}

static void check_payloads(const struct conversation *conversation)
{
	for (size_t i = 0; i < conversation->n; i++) {
		const struct golden_frame *frame = &conversation->frames[i];
		const Ttrpc__Request *request = request_of(conversation, frame->header.stream);
		const Ttrpc__Response *response = (const Ttrpc__Response *)frame->envelope;
		size_t method = find_method(request->method);

		check_known(frame->envelope);
		if (frame->request)
			protobuf_c_message_free_unpacked(
			    check_message(methods[method].request, &request->payload), NULL);
		else if (!response->status)
			protobuf_c_message_free_unpacked(
			    check_message(methods[method].response, &response->payload), NULL);
	}
}

static void test_task_payloads(void)
{
	struct conversation *task = load("task.frames");

	check_payloads(task);
	unload(task);
}

static void test_event_payloads(void)
{
	static const struct {
		const char *type;
		const ProtobufCMessageDescriptor *descriptor;
	} types[] = {
		{ "containerd.events.TaskCreate", &events__task_create__descriptor },
		{ "containerd.events.TaskStart", &events__task_start__descriptor },
		{ "containerd.events.TaskExit", &events__task_exit__descriptor },
		{ "containerd.events.TaskDelete", &events__task_delete__descriptor },
		{ "containerd.events.TaskExecAdded", &events__task_exec_added__descriptor },
		{ "containerd.events.TaskExecStarted", &events__task_exec_started__descriptor },
		{ "containerd.events.TaskPaused", &events__task_paused__descriptor },
		{ "containerd.events.TaskResumed", &events__task_resumed__descriptor },
	};
	struct conversation *events = load("events.frames");
	unsigned seen = 0;

	check_payloads(events);
	for (size_t i = 0; i < events->n; i++) {
		const Ttrpc__Request *request = (const Ttrpc__Request *)events->frames[i].envelope;
		Events__ForwardRequest *forward;
		const Task__Any *any;

		if (!events->frames[i].request)
			continue;
		CHECK_STRING(request->service, "containerd.services.events.ttrpc.v1.Events");
		CHECK_INT(request->n_metadata, 1);
		CHECK_STRING(request->metadata[0]->key, "containerd-namespace-ttrpc");
		CHECK_STRING(request->metadata[0]->value, "golden");
		forward = (Events__ForwardRequest *)check_message(
		    &events__forward_request__descriptor, &request->payload);
		CHECK_STRING(forward->envelope->namespace_, "golden");
		any = forward->envelope->event;
		for (size_t k = 0; k < ARRAY_SIZE(types); k++) {
			if (strcmp(any->type_url, types[k].type) != 0)
				continue;
			protobuf_c_message_free_unpacked(
			    check_message(types[k].descriptor, &any->value), NULL);
			seen |= 1u << k;
		}
		protobuf_c_message_free_unpacked(&forward->base, NULL);
	}
	CHECK_INT(seen, (1u << ARRAY_SIZE(types)) - 1);
	unload(events);
}

/* The n-th (from 0) request of this method, unpacked. */
static void *nth_request(const struct conversation *conversation, const char *method, size_t n)
{
	for (size_t i = 0; i < conversation->n; i++) {
		const Ttrpc__Request *request =
		    (const Ttrpc__Request *)conversation->frames[i].envelope;

		if (conversation->frames[i].request && strcmp(request->method, method) == 0 &&
		    n-- == 0)
			return check_message(methods[find_method(method)].request,
					     &request->payload);
	}
	test_fail(__FILE__, __LINE__, "no %s", method);
}

static void free_message(void *message)
{
	protobuf_c_message_free_unpacked(message, NULL);
}

/* Field numbers that were mixed up would show here. */
static void test_values(void)
{
	struct conversation *task = load("task.frames");
	Task__CreateTaskRequest *create = nth_request(task, "Create", 0);
	Task__ExecProcessRequest *exec = nth_request(task, "Exec", 1);
	Task__ResizePtyRequest *resize = nth_request(task, "ResizePty", 0);
	Task__KillRequest *kill = nth_request(task, "Kill", 0);
	Task__CloseIORequest *close_io = nth_request(task, "CloseIO", 0);
	Task__CheckpointTaskRequest *checkpoint = nth_request(task, "Checkpoint", 0);
	Task__DeleteRequest *delete = nth_request(task, "Delete", 0);
	Task__ShutdownRequest *shutdown_ = nth_request(task, "Shutdown", 0);

	CHECK_STRING(create->id, "box");
	CHECK_STRING(strrchr(create->bundle, '/'), "/box");
	CHECK_INT(create->n_rootfs, 1);
	CHECK_STRING(create->rootfs[0]->type, "bind");
	CHECK(create->rootfs[0]->source[0] == '/' && create->rootfs[0]->n_options == 2);
	CHECK(!create->terminal && strstr(create->stdout, "box-stdout"));
	CHECK_STRING(exec->id, "box");
	CHECK_STRING(exec->exec_id, "e2");
	CHECK(exec->terminal && strstr(exec->stdout, "e2-stdout") && exec->stderr[0] == '\0');
	CHECK(any_is(exec->spec, "types.containerd.io/opencontainers/runtime-spec/1/Process"));
	CHECK(exec->spec->value.data[0] == '{');
	CHECK_STRING(resize->exec_id, "e2");
	CHECK_STRING(kill->id, "box");
	CHECK(kill->signal == 9 && !kill->all);
	CHECK(close_io->stdin);
	CHECK_STRING(close_io->exec_id, "e3");
	CHECK(checkpoint->path[0] == '/');
	CHECK_STRING(delete->exec_id, "e1");
	CHECK(!shutdown_->now);
	free_message(create);
	free_message(exec);
	free_message(resize);
	free_message(kill);
	free_message(close_io);
	free_message(checkpoint);
	free_message(delete);
	free_message(shutdown_);
	unload(task);
}

/* ---- encoding ---- */

/* The next frame that the other side wrote; both run on the loop. */
static size_t read_frame(struct loop *loop, int fd, uint8_t *bytes, size_t room)
{
	size_t wanted = FRAME_HEADER_SIZE, n = 0;
	struct frame_header header;

	while (n < wanted) {
		ssize_t got = recv(fd, bytes + n, wanted - n, MSG_DONTWAIT);

		if (got < 0 && errno == EAGAIN) {
			loop_step(loop, 1000);
			continue;
		}
		CHECK(got > 0);
		n += (size_t)got;
		if (n == FRAME_HEADER_SIZE) {
			frame_header_decode(bytes, &header);
			wanted += header.length;
			CHECK(wanted <= room);
		}
	}
	return n;
}

static void pair(int fds[2])
{
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
}

struct replay {
	struct conversation *conversation;
	const struct golden_frame *next; /* the request that is sent */
	size_t n_called;
};

/* Answers as the shim did. */
static void on_call(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	struct replay *replay = data;
	const Ttrpc__Request *request = (const Ttrpc__Request *)replay->next->envelope;
	size_t method = find_method(request->method);
	const struct golden_frame *golden =
	    response_of(replay->conversation, replay->next->header.stream);
	const Ttrpc__Response *response = (const Ttrpc__Response *)golden->envelope;
	_cleanup_free_ uint8_t *packed = NULL;
	size_t size;

	CHECK(message->descriptor == methods[method].request);
	packed = message_pack(message, &size);
	CHECK(size == request->payload.len && memcmp(packed, request->payload.data, size) == 0);
	if (request->n_metadata > 0)
		CHECK_STRING(ttrpc_call_metadata(call, request->metadata[0]->key),
			     request->metadata[0]->value);
	replay->n_called++;
	if (response->status) {
		ttrpc_call_fail(call, (enum ttrpc_code)response->status->code, "%s",
				response->status->message);
	} else {
		ProtobufCMessage *answer = message_unpack(
		    methods[method].response, response->payload.data, response->payload.len, NULL);

		ttrpc_call_reply(call, answer);
		free_message(answer);
	}
}

/* Our server is sent containerd's frames; its answers are the shim's to the byte. */
static void replay_to_server(const char *file, const char *service_name)
{
	struct replay replay = { .conversation = load(file) };
	struct ttrpc_method table[N_METHODS];
	struct ttrpc_service service = { service_name, table, N_METHODS, &replay };
	struct ttrpc_server *server;
	struct error *error = NULL;
	uint8_t bytes[4096];
	struct loop *loop;
	int fds[2];

	for (size_t i = 0; i < N_METHODS; i++)
		table[i] = (struct ttrpc_method){ methods[i].name, methods[i].request, on_call };
	pair(fds);
	CHECK_OK(loop_new(&loop, &error), &error);
	server = ttrpc_server_new(loop, &service, 1);
	CHECK_OK(ttrpc_server_serve(server, fds[0], NULL, NULL, &error), &error);
	for (size_t i = 0; i < replay.conversation->n; i++) {
		const struct golden_frame *frame = &replay.conversation->frames[i];
		const struct golden_frame *golden;

		if (!frame->request)
			continue;
		replay.next = frame;
		CHECK_OK(write_all(fds[1], frame->bytes, frame->size), &error);
		golden = response_of(replay.conversation, frame->header.stream);
		CHECK_INT(read_frame(loop, fds[1], bytes, sizeof(bytes)), golden->size);
		CHECK(memcmp(bytes, golden->bytes, golden->size) == 0);
	}
	CHECK_INT(replay.n_called * 2, replay.conversation->n);
	ttrpc_server_free(server);
	loop_free(loop);
	(void)close(fds[1]);
	unload(replay.conversation);
}

static void test_server(void)
{
	replay_to_server("task.frames", "containerd.task.v2.Task");
	replay_to_server("events.frames", "containerd.services.events.ttrpc.v1.Events");
}

static void on_answer(void *data, const ProtobufCMessage *response, const struct error *error)
{
	size_t *n_answered = data;

	/* The one that runc could not do. */
	if (error)
		CHECK(strstr(error->message, "criu"));
	CHECK(response || error);
	++*n_answered;
}

/* Time limits are what the callers had left, in nanoseconds: all but these. */
static void check_request(const uint8_t *bytes, size_t size, const struct golden_frame *golden)
{
	struct golden_frame ours = { .request = true, .bytes = (uint8_t *)bytes, .size = size };
	Ttrpc__Request *request, *wanted = (Ttrpc__Request *)golden->envelope;
	_cleanup_free_ uint8_t *ours_packed = NULL;
	_cleanup_free_ uint8_t *golden_packed = NULL;
	size_t ours_size, golden_size;

	decode(&ours);
	CHECK_INT(ours.header.stream, golden->header.stream);
	request = (Ttrpc__Request *)ours.envelope;
	if (wanted->timeout_nano == 0)
		CHECK(size == golden->size && memcmp(bytes, golden->bytes, size) == 0);
	CHECK_INT(request->timeout_nano > 0, wanted->timeout_nano > 0);
	request->timeout_nano = wanted->timeout_nano;
	ours_packed = message_pack(&request->base, &ours_size);
	golden_packed = message_pack(&wanted->base, &golden_size);
	CHECK(ours_size == golden_size && memcmp(ours_packed, golden_packed, ours_size) == 0);
	CHECK(memcmp(golden_packed, golden->bytes + FRAME_HEADER_SIZE, golden_size) == 0);
	free_message(request);
}

/* Our client sends the same requests, and is answered by the recorded answers. */
static void replay_to_client(const char *file)
{
	struct conversation *conversation = load(file);
	struct ttrpc_client *client;
	struct error *error = NULL;
	size_t n_called = 0, n_answered = 0;
	uint8_t bytes[4096];
	struct loop *loop;
	int fds[2];

	pair(fds);
	CHECK_OK(loop_new(&loop, &error), &error);
	CHECK_OK(ttrpc_client_new(loop, fds[0], NULL, NULL, &client, &error), &error);
	if (strcmp(file, "events.frames") == 0)
		ttrpc_client_set_metadata(client, "containerd-namespace-ttrpc", "golden");
	for (size_t i = 0; i < conversation->n; i++) {
		const struct golden_frame *frame = &conversation->frames[i];
		const Ttrpc__Request *request = (const Ttrpc__Request *)frame->envelope;
		const struct golden_frame *golden;
		ProtobufCMessage *message;
		size_t method;

		if (!frame->request)
			continue;
		method = find_method(request->method);
		message = message_unpack(methods[method].request, request->payload.data,
					 request->payload.len, NULL);
		ttrpc_client_call(
		    client,
		    &(struct ttrpc_request){ .service = request->service,
					     .method = request->method,
					     .message = message,
					     .response = methods[method].response,
					     .timeout_ms = request->timeout_nano ? 60000 : 0 },
		    on_answer, &n_answered);
		free_message(message);
		check_request(bytes, read_frame(loop, fds[1], bytes, sizeof(bytes)), frame);
		golden = response_of(conversation, frame->header.stream);
		CHECK_OK(write_all(fds[1], golden->bytes, golden->size), &error);
		n_called++;
		while (n_answered < n_called)
			loop_step(loop, 1000);
	}
	CHECK_INT(n_called * 2, conversation->n);
	ttrpc_client_free(client);
	loop_free(loop);
	(void)close(fds[1]);
	unload(conversation);
}

static void test_client(void)
{
	replay_to_client("task.frames");
	replay_to_client("events.frames");
}

static const struct test_case cases[] = {
	{ "task payloads", test_task_payloads },
	{ "event payloads", test_event_payloads },
	{ "values", test_values },
	{ "server", test_server },
	{ "client", test_client },
};

TEST_MAIN(cases)
