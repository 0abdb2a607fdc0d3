/* SPDX-License-Identifier: Apache-2.0 */
/* ttrpc: the asynchronous client against a peer that writes raw bytes. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "protocol/task.pb-c.h"
#include "tests/unit/test.h"
#include "ttrpc/frame.h"
#include "ttrpc/ttrpc.h"

#define CALLS_MAX 64

struct fixture {
	struct loop *loop;
	struct ttrpc_client *client;
	int fd; /* the peer's end */
	int n_closed;
	struct call *freeing; /* the call whose function frees the client */
	struct call {
		struct fixture *f;
		int n;	   /* times its function was called */
		int order; /* when */
		int code;  /* of its error, 0: it was answered */
		uint32_t pid;
		char message[256];
	} calls[CALLS_MAX];
	int n_calls;
	int n_done;
};

static void on_close(void *data)
{
	struct fixture *f = data;

	f->n_closed++;
	/* After every open call has failed. */
	CHECK_INT(f->n_done, f->n_calls);
}

static void setup(struct fixture *f)
{
	struct error *error = NULL;
	int fds[2];

	memset(f, 0, sizeof(*f));
	CHECK_OK(loop_new(&f->loop, &error), &error);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
	CHECK_OK(ttrpc_client_new(f->loop, fds[0], on_close, f, &f->client, &error), &error);
	f->fd = fds[1];
}

static void teardown(struct fixture *f)
{
	close_fdp(&f->fd);
	ttrpc_client_free(f->client);
	loop_free(f->loop);
}

static void step(struct fixture *f)
{
	for (int i = 0; i < 8; i++)
		loop_step(f->loop, 0);
}

static void on_reply(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct call *call = data;

	CHECK(!response != !error);
	call->n++;
	call->order = ++call->f->n_done;
	call->code = error ? error->code : 0;
	if (error)
		(void)snprintf(call->message, sizeof(call->message), "%s", error->message);
	else
		call->pid = ((const Task__StartResponse *)response)->pid;
	if (call->f->freeing == call)
		ttrpc_client_free(TAKE_PTR(call->f->client));
}

/* The n-th call; its stream id is 2 n + 1. */
static struct call *call_with(struct fixture *f, const char *id, uint64_t timeout_ms)
{
	Task__StartRequest request = TASK__START_REQUEST__INIT;
	struct call *call = &f->calls[f->n_calls++];
	const struct ttrpc_request sent = { .service = "a.B",
					    .method = "C",
					    .message = &request.base,
					    .response = &task__start_response__descriptor,
					    .timeout_ms = timeout_ms };

	CHECK(f->n_calls <= CALLS_MAX);
	call->f = f;
	request.id = (char *)id;
	ttrpc_client_call(f->client, &sent, on_reply, call);
	CHECK_INT(call->n, 0);
	return call;
}

static struct call *call(struct fixture *f)
{
	return call_with(f, "x", 0);
}

/* A frame of the server's: an answer of this pid, packed by hand. */
static void put(struct fixture *f, uint8_t type, uint8_t stream, uint8_t pid)
{
	const uint8_t bytes[] = { 0, 0, 0, 4, 0, 0, 0, stream, type, 0, 0x12, 2, 0x08, pid };

	CHECK(write(f->fd, bytes, sizeof(bytes)) == sizeof(bytes));
}

static void check_answered(const struct call *call, uint32_t pid)
{
	CHECK_INT(call->n, 1);
	CHECK_INT(call->code, 0);
	CHECK_INT(call->pid, pid);
}

static void check_failed(const struct call *call, int code, const char *part)
{
	CHECK_INT(call->n, 1);
	CHECK_INT(call->code, code);
	if (!strstr(call->message, part) || strncmp(call->message, "a.B/C: ", 7) != 0)
		test_fail(__FILE__, __LINE__, "failed with \"%s\", not \"%s\"", call->message,
			  part);
}

/* ---- bytes ---- */

/* By hand, from PROTOCOL.md and request.proto: the second has a time limit of
 * 3 ms and metadata. */
static void test_golden(void)
{
	static const uint8_t
	    golden[] = {
		    0,	  0, 0,	   13,	 0,    0,    0,	   1,	 1,    0,
		    0x0a, 3, 'a',  '.',	 'B',				  /* service */
		    0x12, 1, 'C',					  /* method */
		    0x1a, 3, 0x0a, 1,	 'x',				  /* payload */
		    0,	  0, 0,	   26,	 0,    0,    0,	   3,	 1,    0, /* the next frame */
		    0x0a, 3, 'a',  '.',	 'B',  0x12, 1,	   'C',	 0x1a, 3,
		    0x0a, 1, 'y',  0x20, 0xc0, 0x8d, 0xb7, 0x01, /* 3000000 ns */
		    0x2a, 6, 0x0a, 1,	 'k',  0x12, 1,	   'v',
	    };
	struct fixture f;
	uint8_t bytes[128];

	setup(&f);
	(void)call(&f);
	ttrpc_client_set_metadata(f.client, "k", "v");
	(void)call_with(&f, "y", 3);
	CHECK_INT(read(f.fd, bytes, sizeof(bytes)), sizeof(golden));
	CHECK(memcmp(bytes, golden, sizeof(golden)) == 0);
	teardown(&f);
}

/* What containerd 1.6.20 answered to Events/Forward, to a method it does not have
 * and to a topic it does not like. */
static void test_captured(void)
{
	static const char answers[] =
	    "\0\0\0\0\0\0\0\1\2\0"
	    "\0\0\0\x11\0\0\0\3\2\0\x0a\x0f\x08\x0c\x12\x0bmethod Nope"
	    "\0\0\0\x47\0\0\0\5\2\0\x0a\x45\x08\3\x12\x41"
	    "envelope topic \"bad topic\": must start with '/': invalid argument";
	struct fixture f;
	struct call *answered, *unknown, *refused;

	setup(&f);
	answered = call(&f);
	unknown = call(&f);
	refused = call(&f);
	CHECK(write(f.fd, answers, sizeof(answers) - 1) == sizeof(answers) - 1);
	step(&f);
	check_answered(answered, 0);
	check_failed(unknown, ENOSYS, "method Nope");
	check_failed(refused, EINVAL, "must start with '/'");
	teardown(&f);
}

static void test_cut_responses(void)
{
	static const uint8_t answer[] = { 0, 0, 0, 4, 0, 0, 0, 1, 2, 0, 0x12, 2, 0x08, 9 };

	for (size_t cut = 1; cut < sizeof(answer); cut++) {
		struct fixture f;
		struct call *c;

		setup(&f);
		c = call(&f);
		CHECK(write(f.fd, answer, cut) == (ssize_t)cut);
		step(&f);
		CHECK_INT(c->n, 0);
		CHECK(write(f.fd, answer + cut, sizeof(answer) - cut) > 0);
		step(&f);
		check_answered(c, 9);
		teardown(&f);
	}
}

static void test_out_of_order(void)
{
	struct fixture f;

	setup(&f);
	for (int i = 0; i < CALLS_MAX; i++)
		(void)call(&f);
	for (int i = CALLS_MAX - 1; i >= 0; i--)
		put(&f, FRAME_RESPONSE, (uint8_t)(2 * i + 1), (uint8_t)(i + 1));
	step(&f);
	for (int i = 0; i < CALLS_MAX; i++) {
		check_answered(&f.calls[i], (uint32_t)i + 1);
		CHECK_INT(f.calls[i].order, CALLS_MAX - i);
	}
	teardown(&f);
}

static void test_odd_answers(void)
{
	struct fixture f;
	struct call *c, *refused, *empty, *broken;

	setup(&f);
	c = call(&f);
	put(&f, FRAME_RESPONSE, 3, 1); /* not asked yet */
	put(&f, FRAME_RESPONSE, 0, 1);
	put(&f, FRAME_DATA, 2, 1);
	put(&f, 99, 4, 1);
	step(&f);
	CHECK_INT(f.n_done, 0);
	put(&f, FRAME_RESPONSE, 1, 5);
	put(&f, FRAME_RESPONSE, 1, 6); /* answered already */
	step(&f);
	check_answered(c, 5);
	c = call(&f);
	put(&f, FRAME_DATA, 3, 1);
	step(&f);
	check_failed(c, EPROTO, "type 3");
	refused = call(&f);
	CHECK(write(f.fd, "\0\0\0\x08\0\0\0\5\2\0\x0a\6\x08\6\x12\2no", 18) == 18);
	step(&f);
	check_failed(refused, EEXIST, "a.B/C: no");
	/* A guest's text does nothing to a terminal, and is one line. */
	refused = call(&f);
	CHECK(write(f.fd, "\0\0\0\x0e\0\0\0\7\2\0\x0a\x0c\x08\6\x12\x08n\n\x1b[2J\xc2\x9b", 24) ==
	      24);
	step(&f);
	check_failed(refused, EEXIST, "a.B/C: n ?[2J??");
	empty = call(&f);
	CHECK(write(f.fd, "\0\0\0\0\0\0\0\x09\2\0", 10) == 10);
	step(&f);
	check_answered(empty, 0);
	broken = call(&f);
	CHECK(write(f.fd, "\0\0\0\2\0\0\0\x0b\2\0\x0a\x7f", 12) == 12);
	step(&f);
	check_failed(broken, EPROTO, "not a ttrpc response");
	CHECK_INT(f.n_closed, 0);
	teardown(&f);
}

static void test_oversize(void)
{
	struct fixture f;
	struct call *c, *next;
	static const char bytes[8192];
	size_t left = TTRPC_MESSAGE_MAX + 1;

	setup(&f);
	c = call(&f);
	next = call(&f);
	CHECK(write(f.fd, "\0\x40\0\1\0\0\0\1\2\0", 10) == 10);
	while (left > 0) {
		ssize_t n = write(f.fd, bytes, left < sizeof(bytes) ? left : sizeof(bytes));

		CHECK(n > 0 || errno == EAGAIN);
		left -= n > 0 ? (size_t)n : 0;
		step(&f);
		CHECK_INT(c->n, left == 0);
	}
	check_failed(c, EMSGSIZE, "4194305");
	put(&f, FRAME_RESPONSE, 3, 8);
	step(&f);
	check_answered(next, 8);
	teardown(&f);
}

/* ---- time and loss ---- */

static void test_timeout(void)
{
	struct fixture f;
	struct call *c, *patient;
	uint64_t start = clock_monotonic_ns();

	setup(&f);
	patient = call_with(&f, "x", UINT64_MAX);
	c = call_with(&f, "x", 20);
	while (c->n == 0)
		loop_step(f.loop, 1000);
	CHECK(clock_monotonic_ns() - start >= 20000000);
	check_failed(c, ETIMEDOUT, "in time");
	put(&f, FRAME_RESPONSE, 3, 1);
	put(&f, FRAME_RESPONSE, 1, 2);
	step(&f);
	check_failed(c, ETIMEDOUT, "in time");
	check_answered(patient, 2);
	/* Answered in time: the timer is gone. */
	c = call_with(&f, "x", 20);
	put(&f, FRAME_RESPONSE, 5, 3);
	step(&f);
	loop_step(f.loop, 40);
	check_answered(c, 3);
	teardown(&f);
}

static void lose(struct fixture *f)
{
	close_fdp(&f->fd);
	f->fd = -1;
	step(f);
}

static void test_loss(void)
{
	struct fixture f;

	setup(&f);
	for (int i = 0; i < 10; i++)
		(void)call_with(&f, "x", i % 2 ? 10000 : 0);
	put(&f, FRAME_RESPONSE, 5, 1);
	CHECK(write(f.fd, "\0\0\0\1\0", 5) == 5);
	lose(&f);
	for (int i = 0; i < 10; i++)
		if (i == 2)
			check_answered(&f.calls[i], 1);
		else
			check_failed(&f.calls[i], ECONNRESET, "connection is lost");
	CHECK_INT(f.n_closed, 1);
	/* And later calls, but not from within. */
	check_failed((step(&f), call(&f), step(&f), &f.calls[10]), ECONNRESET,
		     "connection is lost");
	CHECK_INT(f.n_closed, 1);
	teardown(&f);
}

/* The peer can still read, but will not answer. */
static void test_half_close(void)
{
	struct fixture f;
	struct call *c;

	setup(&f);
	c = call(&f);
	CHECK(shutdown(f.fd, SHUT_WR) == 0);
	step(&f);
	check_failed(c, ECONNRESET, "connection is lost");
	CHECK_INT(f.n_closed, 1);
	teardown(&f);
}

static void call_from(struct fixture *f, ttrpc_reply_fn function)
{
	Task__StartRequest request = TASK__START_REQUEST__INIT;
	const struct ttrpc_request sent = { .service = "a.B",
					    .method = "C",
					    .message = &request.base,
					    .response = &task__start_response__descriptor };

	ttrpc_client_call(f->client, &sent, function, f);
}

static void done(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct fixture *f = data;

	CHECK(!response && error);
	f->n_done++;
}

static void retry(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct fixture *f = data;

	CHECK(!response && error);
	if (++f->n_done < 20)
		call_from(f, retry);
}

/* A function that calls again at each failure does not keep the loop busy
 * within one handler, nor on_close from being called. */
static void test_call_from_function(void)
{
	struct fixture f;

	setup(&f);
	f.n_calls = 16; /* failed when on_close is called: no more are waited for */
	call_from(&f, retry);
	close_fdp(&f.fd);
	f.fd = -1;
	while (f.n_closed == 0)
		loop_step(f.loop, 0);
	while (f.n_done < 20)
		loop_step(f.loop, 0);
	CHECK_INT(f.n_closed, 1);
	teardown(&f);
}

static void call_once_more(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct fixture *f = data;

	CHECK(!response && error);
	if (f->n_done == 0)
		call_from(f, done);
	f->n_done++;
}

/* A call that is made once the connection has ended, but before that is told: it fails, too, and
 * before on_close, which may free the client. */
static void test_call_before_close_is_told(void)
{
	struct fixture f;

	setup(&f);
	f.n_calls = 3; /* failed when on_close is called */
	call_from(&f, call_once_more);
	close_fdp(&f.fd);
	f.fd = -1;
	loop_step(f.loop, 0);
	call_from(&f, done);
	while (f.n_closed == 0)
		loop_step(f.loop, 0);
	CHECK_INT(f.n_done, 3);
	teardown(&f);
}

/* ---- freeing ---- */

static void test_free_in_function(void)
{
	struct fixture f;

	/* in an answer's, with another answer in the same packet */
	setup(&f);
	f.freeing = call(&f);
	(void)call(&f);
	put(&f, FRAME_RESPONSE, 1, 1);
	put(&f, FRAME_RESPONSE, 3, 1);
	step(&f);
	CHECK_INT(f.n_done, 1);
	CHECK(!f.client);
	teardown(&f);

	/* in a time limit's */
	setup(&f);
	f.freeing = call_with(&f, "x", 1);
	(void)call_with(&f, "x", 2);
	loop_step(f.loop, 100);
	loop_step(f.loop, 10);
	CHECK_INT(f.n_done, 1);
	teardown(&f);

	/* in a loss's */
	setup(&f);
	(void)call(&f);
	f.freeing = call(&f);
	(void)call(&f);
	lose(&f);
	CHECK(f.n_done >= 1 && f.n_done <= 2);
	CHECK_INT(f.n_closed, 0);
	teardown(&f);
}

static void free_client(void *data)
{
	struct fixture *f = data;

	f->n_closed++;
	ttrpc_client_free(TAKE_PTR(f->client));
}

static void test_free_in_on_close(void)
{
	struct fixture f;
	struct error *error = NULL;
	struct ttrpc_client *first;
	int fds[2];

	setup(&f);
	first = f.client;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	CHECK_OK(ttrpc_client_new(f.loop, fds[0], free_client, &f, &f.client, &error), &error);
	(void)call(&f);
	(void)close(fds[1]);
	step(&f);
	CHECK_INT(f.n_closed, 1);
	CHECK_INT(f.n_done, 1);
	CHECK(!f.client);
	ttrpc_client_free(first);
	teardown(&f);
}

/* ---- bounds ---- */

static void test_server_does_not_read(void)
{
	struct fixture f;
	const size_t size = 3 << 20;
	_cleanup_free_ char *text = xmalloc(2 * size);
	int failed = 0;

	setup(&f);
	memset(text, 'x', 2 * size);
	text[2 * size - 1] = '\0';
	check_failed((call_with(&f, text, 0), step(&f), &f.calls[0]), EMSGSIZE, "above 4194304");
	text[size] = '\0';
	for (int i = 0; i < 8; i++)
		(void)call_with(&f, text, 0);
	step(&f);
	for (int i = 1; i <= 8; i++)
		if (f.calls[i].n > 0) {
			check_failed(&f.calls[i], ENOBUFS, "does not read");
			failed++;
		}
	CHECK(failed >= 2 && failed <= 4);
	CHECK_INT(f.n_closed, 0);
	teardown(&f);
}

/* Nobody asked for descriptors. */
static void test_descriptors_dropped(void)
{
	struct fixture f;
	static const uint8_t answer[] = { 0, 0, 0, 4, 0, 0, 0, 1, 2, 0, 0x12, 2, 0x08, 9 };
	struct call *c;
	int n_fds;

	setup(&f);
	c = call(&f);
	n_fds = dup(0);
	(void)close(n_fds);
	CHECK(send_with_fds(f.fd, answer, sizeof(answer) - 1, &(int){ 0 }, 1) ==
	      sizeof(answer) - 1);
	step(&f);
	CHECK_INT(dup(0), n_fds);
	CHECK(write(f.fd, answer + sizeof(answer) - 1, 1) == 1);
	step(&f);
	check_answered(c, 9);
	teardown(&f);
}

/* A call that has failed already, but was not told so yet, keeps its reason. */
static void test_failed_before_loss(void)
{
	struct fixture f;
	_cleanup_free_ char *text = xmalloc(TTRPC_MESSAGE_MAX + 1);
	struct call *large, *open;

	setup(&f);
	memset(text, 'x', TTRPC_MESSAGE_MAX);
	text[TTRPC_MESSAGE_MAX] = '\0';
	open = call(&f);
	close_fdp(&f.fd);
	f.fd = -1;
	large = call_with(&f, text, 0);
	step(&f);
	check_failed(open, ECONNRESET, "connection is lost");
	check_failed(large, EMSGSIZE, "above 4194304");
	teardown(&f);
}

static void test_no_function(void)
{
	struct fixture f;
	Task__StartRequest request = TASK__START_REQUEST__INIT;
	struct ttrpc_request sent = { .service = "a.B",
				      .method = "C",
				      .message = &request.base,
				      .response = &task__start_response__descriptor };

	setup(&f);
	for (int i = 0; i < 3; i++) {
		sent.timeout_ms = i == 1;
		ttrpc_client_call(f.client, &sent, NULL, NULL);
	}
	put(&f, FRAME_RESPONSE, 1, 1);
	step(&f);
	loop_step(f.loop, 5);
	lose(&f);
	CHECK_INT(f.n_closed, 1);
	teardown(&f);
}

static const struct test_case cases[] = {
	{ "golden", test_golden },
	{ "captured", test_captured },
	{ "cut responses", test_cut_responses },
	{ "out of order", test_out_of_order },
	{ "odd answers", test_odd_answers },
	{ "oversize", test_oversize },
	{ "timeout", test_timeout },
	{ "loss", test_loss },
	{ "half close", test_half_close },
	{ "call from function", test_call_from_function },
	{ "free in function", test_free_in_function },
	{ "call before close is told", test_call_before_close_is_told },
	{ "free in on_close", test_free_in_on_close },
	{ "server does not read", test_server_does_not_read },
	{ "descriptors dropped", test_descriptors_dropped },
	{ "failed before loss", test_failed_before_loss },
	{ "no function", test_no_function },
};

TEST_MAIN(cases)
