/* SPDX-License-Identifier: Apache-2.0 */
/* Pumps: bytes between two descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/pump.h"
#include "tests/unit/streams.h"
#include "tests/unit/test.h"

#define BIG (3 << 20)

/* ---- both ways: the loop in a child, the test at both outer ends ---- */

static void quit(void *data, bool broken)
{
	(void)broken;
	loop_quit(data);
}

static pid_t start_both_ways(int *ret_a, int *ret_b)
{
	int a[2], b[2];
	pid_t pid;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, a) == 0 &&
	      socketpair(AF_UNIX, SOCK_STREAM, 0, b) == 0);
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		struct loop *loop;

		(void)close(a[0]);
		(void)close(b[0]);
		CHECK(loop_new(&loop, NULL) == 0);
		(void)pump_new(loop, &(struct pump_setup){ .from = a[1],
							   .to = b[1],
							   .both_ways = true,
							   .function = quit,
							   .data = loop });
		loop_run(loop);
		loop_free(loop);
		exit(0);
	}
	(void)close(a[1]);
	(void)close(b[1]);
	*ret_a = a[0];
	*ret_b = b[0];
	return pid;
}

static void end_both_ways(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
}

static void test_both_ways_half_close(void)
{
	int a, b;
	pid_t pid = start_both_ways(&a, &b);

	CHECK(write_all(a, "question", 8) == 0);
	expect(b, "question");
	CHECK(shutdown(a, SHUT_WR) == 0);
	expect_end(b);
	CHECK(write_all(b, "answer", 6) == 0);
	expect(a, "answer");
	(void)close(b);
	expect_end(a);
	(void)close(a);
	end_both_ways(pid);
}

/* It answers and closes, while the other side writes on: what it said arrives. */
static void test_both_ways_answer_first(void)
{
	int a, b;
	pid_t pid = start_both_ways(&a, &b);
	char bytes[4096] = "";

	CHECK(kill(pid, SIGSTOP) == 0);
	CHECK(write_all(b, "enough", 6) == 0);
	(void)close(b);
	CHECK(write_all(a, bytes, sizeof(bytes)) == 0);
	CHECK(kill(pid, SIGCONT) == 0);
	expect(a, "enough");
	expect_end(a);
	(void)close(a);
	end_both_ways(pid);
}

/* More than all buffers hold, both ways, to a slow reader. */
static void test_both_ways_much(void)
{
	_cleanup_free_ char *bytes = xmalloc(BIG), *got = xmalloc(BIG);
	int a, b, status;
	pid_t pid = start_both_ways(&a, &b), writer;

	for (size_t i = 0; i < BIG; i++)
		bytes[i] = (char)(i * 7 + (i >> 11));
	writer = fork();
	if (writer == 0) {
		CHECK(write_all(a, bytes, BIG) == 0);
		(void)shutdown(a, SHUT_WR);
		CHECK(read_all(a, got, BIG) == BIG && memcmp(got, bytes, BIG) == 0);
		_exit(0);
	}
	(void)close(a);
	CHECK(read_all(b, got, BIG) == BIG);
	CHECK(memcmp(got, bytes, BIG) == 0);
	CHECK(write_all(b, bytes, BIG) == 0);
	(void)close(b);
	CHECK(waitpid(writer, &status, 0) == writer);
	CHECK_INT(status, 0);
	end_both_ways(pid);
}

/* A peer that goes with what is written to it unread ends it all. */
static void test_both_ways_broken(void)
{
	char bytes[4096] = { 0 };
	int a, b;
	pid_t pid = start_both_ways(&a, &b);

	(void)close(b);
	while (send(a, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0)
		;
	CHECK(errno == EPIPE || errno == ECONNRESET);
	(void)close(a);
	end_both_ways(pid);
}

/* ---- one way ---- */

struct ends {
	int n, n_broken;
};

static void count_end(void *data, bool broken)
{
	struct ends *ends = data;

	ends->n++;
	ends->n_broken += broken;
}

static void steps(struct loop *loop)
{
	for (int i = 0; i < 10; i++)
		loop_step(loop, 0);
}

/* A reader that stops holds the writer back after a bounded number of bytes, and
 * gets every byte when it goes on. */
static void test_holds_back(void)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	struct error *error = NULL;
	struct ends ends = { 0 };
	struct pump *pump;
	int from[2], to[2];
	size_t sent = 0, got = 0, stalled;
	static char chunk[4096];

	make_sockets(from);
	make_sockets(to);
	(void)set_nonblocking(from[0], true);
	(void)set_nonblocking(to[0], true);
	CHECK_OK(loop_new(&loop, &error), &error);
	pump = pump_new(loop, &(struct pump_setup){ .from = from[1],
						    .to = to[1],
						    .watches_reader = true,
						    .lingers = true,
						    .function = count_end,
						    .data = &ends });
	for (int i = 0; i < 2000; i++) {
		ssize_t n = write(from[0], chunk, sizeof(chunk));

		sent += n > 0 ? (size_t)n : 0;
		loop_step(loop, 0);
	}
	stalled = sent;
	CHECK(stalled < 2000 * sizeof(chunk));
	CHECK(shutdown(from[0], SHUT_WR) == 0);
	for (;;) {
		ssize_t n = read(to[0], chunk, sizeof(chunk));

		if (n == 0)
			break;
		got += n > 0 ? (size_t)n : 0;
		loop_step(loop, 0);
	}
	CHECK_INT(got, stalled);
	CHECK_INT(ends.n, 0);
	pump_free(pump);
}

/* Writes until the reader has gone: the number of bytes that were taken. */
static size_t write_until_broken(struct loop *loop, int fd)
{
	static char chunk[65536];
	size_t sent = 0;

	for (int i = 0; i < 1000; i++) {
		ssize_t n = write(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EPIPE)
			return sent;
		sent += n > 0 ? (size_t)n : 0;
		loop_step(loop, 0);
	}
	test_fail(__FILE__, __LINE__, "%zu bytes were taken", sent);
}

/* A writer without a reader has a broken pipe, on both sides. */
static void test_without_reader(void)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	struct error *error = NULL;
	struct ends output = { 0 }, input = { 0 };
	int from[2], to[2], in[2], in_to[2];

	make_sockets(from);
	make_sockets(to);
	make_sockets(in);
	make_sockets(in_to);
	(void)set_nonblocking(from[0], true);
	CHECK_OK(loop_new(&loop, &error), &error);
	(void)pump_new(loop, &(struct pump_setup){ .from = from[1],
						   .to = to[1],
						   .watches_reader = true,
						   .lingers = true,
						   .function = count_end,
						   .data = &output });
	(void)pump_new(loop,
		       &(struct pump_setup){
			   .from = in[1], .to = in_to[1], .function = count_end, .data = &input });
	(void)signal(SIGPIPE, SIG_IGN);
	/* While it waits for room. */
	for (int i = 0; i < 100; i++) {
		static char chunk[65536];

		(void)!write(from[0], chunk, sizeof(chunk));
		loop_step(loop, 0);
	}
	CHECK_INT(output.n_broken, 0);
	(void)close(to[0]);
	(void)close(in_to[0]);
	CHECK(write(in[0], "x", 1) == 1);
	CHECK(write_until_broken(loop, from[0]) < 10 * 65536);
	CHECK_INT(output.n_broken, 1);
	CHECK(write(in[0], "x", 1) < 0 && errno == EPIPE);
	CHECK_INT(input.n_broken, 1);
}

/* A host that leaves while nothing is written is not found by a write that seems to
 * succeed. Its half-close does not count as leaving. */
static void test_reader_leaves(void)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	struct error *error = NULL;
	struct ends ends = { 0 };
	int from[2], to[2];
	char bytes[8];

	make_sockets(from);
	make_sockets(to);
	CHECK_OK(loop_new(&loop, &error), &error);
	(void)pump_new(loop, &(struct pump_setup){ .from = from[1],
						   .to = to[1],
						   .watches_reader = true,
						   .lingers = true,
						   .function = count_end,
						   .data = &ends });
	CHECK(shutdown(to[0], SHUT_WR) == 0);
	for (int i = 0; i < 10; i++)
		loop_step(loop, 0);
	CHECK_INT(ends.n_broken, 0);
	CHECK(write(from[0], "out", 3) == 3);
	loop_step(loop, 1000);
	CHECK(read(to[0], bytes, sizeof(bytes)) == 3);
	(void)close(to[0]);
	loop_step(loop, 1000);
	CHECK_INT(ends.n_broken, 1);
	CHECK(send(from[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	(void)close(from[0]);
}

/* It stays until its peer has closed, too, what it says meanwhile is not for anybody. */
static void test_lingers(void)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	struct error *error = NULL;
	struct ends ends = { 0 };
	int from[2], to[2];

	make_sockets(from);
	make_sockets(to);
	CHECK_OK(loop_new(&loop, &error), &error);
	(void)pump_new(loop, &(struct pump_setup){ .from = from[1],
						   .to = to[1],
						   .lingers = true,
						   .function = count_end,
						   .data = &ends });
	CHECK(write(from[0], "last", 4) == 4);
	(void)close(from[0]);
	steps(loop);
	expect(to[0], "last");
	expect_end(to[0]);
	CHECK(write(to[0], "x", 1) == 1);
	steps(loop);
	CHECK_INT(ends.n, 0);
	(void)close(to[0]);
	steps(loop);
	CHECK_INT(ends.n, 1);
	CHECK_INT(ends.n_broken, 0);
}

/* epoll knows no regular files: a pump from one to another, both longer than a turn. */
static void test_files(void)
{
	_cleanup_free_ char *bytes = xcalloc(1, BIG), *got = NULL;
	_cleanup_(loop_freep) struct loop *loop = NULL;
	char from[] = "/tmp/pump-from.XXXXXX", to[] = "/tmp/pump-to.XXXXXX";
	int from_fd = mkstemp(from), to_fd = mkstemp(to);
	struct error *error = NULL;
	struct ends ends = { 0 };
	size_t size;

	for (size_t i = 0; i < BIG; i++)
		bytes[i] = (char)(i * 5 + (i >> 13));
	CHECK(write_all(from_fd, bytes, BIG) == 0 && lseek(from_fd, 0, SEEK_SET) == 0);
	CHECK_OK(loop_new(&loop, &error), &error);
	(void)pump_new(loop, &(struct pump_setup){ .from = from_fd,
						   .to = to_fd,
						   .watches_reader = true,
						   .function = count_end,
						   .data = &ends });
	for (int i = 0; i < 100 && ends.n == 0; i++)
		loop_step(loop, 1000);
	CHECK_INT(ends.n, 1);
	CHECK_INT(ends.n_broken, 0);
	CHECK_OK(read_file(to, BIG, &got, &size, &error), &error);
	CHECK(size == BIG && memcmp(got, bytes, BIG) == 0);
	CHECK(unlink(from) == 0 && unlink(to) == 0);
}

struct sunk {
	size_t size, room;
};

static int sink(void *data, const void *bytes, size_t size)
{
	struct sunk *sunk = data;

	(void)bytes;
	if (size > sunk->room) {
		errno = ENOSPC;
		return -1;
	}
	sunk->room -= size;
	sunk->size += size;
	return 0;
}

/* A function gets all of it, or breaks the pump. */
static void check_sink(size_t room, bool is_broken)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	_cleanup_free_ char *bytes = xcalloc(1, BIG);
	char from[] = "/tmp/pump-from.XXXXXX";
	int from_fd = mkstemp(from);
	struct sunk sunk = { .room = room };
	struct error *error = NULL;
	struct ends ends = { 0 };

	CHECK(write_all(from_fd, bytes, BIG) == 0 && lseek(from_fd, 0, SEEK_SET) == 0);
	CHECK_OK(loop_new(&loop, &error), &error);
	(void)pump_new(loop, &(struct pump_setup){ .from = from_fd,
						   .to = -1,
						   .watches_reader = true,
						   .sink = sink,
						   .sink_data = &sunk,
						   .function = count_end,
						   .data = &ends });
	for (int i = 0; i < 100 && ends.n == 0; i++)
		loop_step(loop, 1000);
	CHECK_INT(ends.n, 1);
	CHECK_INT(ends.n_broken, is_broken);
	CHECK(is_broken ? sunk.size < BIG : sunk.size == BIG);
	CHECK(unlink(from) == 0);
}

static void test_sink(void)
{
	check_sink(BIG, false);
	check_sink(BIG / 2, true);
}

/* Of a source that is always ready, no more is read than the sink takes and one chunk. */
static void test_holds_one_chunk(void)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	static char bytes[BIG];
	char path[] = "/tmp/pump-from.XXXXXX";
	int from = mkstemp(path), offset_fd = dup(from);
	struct error *error = NULL;
	struct ends ends = { 0 };
	struct pump *pump;
	size_t taken = 0;
	int to[2];
	ssize_t n;

	make_sockets(to);
	CHECK(write_all(from, bytes, BIG) == 0 && lseek(from, 0, SEEK_SET) == 0);
	CHECK_OK(loop_new(&loop, &error), &error);
	pump =
	    pump_new(loop, &(struct pump_setup){
			       .from = from, .to = to[1], .function = count_end, .data = &ends });
	steps(loop);
	do {
		n = recv(to[0], bytes, sizeof(bytes), MSG_DONTWAIT);
		taken += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	CHECK(taken > 0 && taken < BIG);
	CHECK((size_t)lseek(offset_fd, 0, SEEK_CUR) <= taken + 65536);
	CHECK_INT(ends.n, 0);
	pump_free(pump);
	(void)close(offset_fd);
	CHECK(unlink(path) == 0);
}

/* A socket that fails ends both ways, though the other side says nothing. */
static void test_both_ways_reset(void)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	struct error *error = NULL;
	struct ends ends = { 0 };
	int a[2], b[2];

	make_sockets(a);
	make_sockets(b);
	CHECK_OK(loop_new(&loop, &error), &error);
	(void)pump_new(loop, &(struct pump_setup){ .from = a[1],
						   .to = b[1],
						   .both_ways = true,
						   .function = count_end,
						   .data = &ends });
	CHECK(write(b[0], "unread", 6) == 6);
	steps(loop);
	CHECK_INT(ends.n, 0);
	(void)close(a[0]);
	steps(loop);
	CHECK_INT(ends.n, 1);
	CHECK_INT(ends.n_broken, 1);
	expect_end(b[0]);
}

/* What has been read is written, what comes later is not. */
static void test_end_input(void)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	static char chunk[1 << 20];
	struct error *error = NULL;
	struct ends ends = { 0 };
	struct pump *pump;
	int from[2], to[2];
	size_t got = 0;
	ssize_t n;

	make_sockets(from);
	make_sockets(to);
	(void)set_nonblocking(from[0], true);
	CHECK_OK(loop_new(&loop, &error), &error);
	pump = pump_new(loop,
			&(struct pump_setup){
			    .from = from[1], .to = to[1], .function = count_end, .data = &ends });
	while (write(from[0], chunk, sizeof(chunk)) > 0)
		steps(loop);
	pump_end_input(pump);
	CHECK_INT(ends.n, 0);
	do {
		steps(loop);
		n = recv(to[0], chunk, sizeof(chunk), MSG_DONTWAIT);
		got += n > 0 ? (size_t)n : 0;
	} while (n != 0);
	CHECK(got > 0);
	CHECK_INT(ends.n, 1);
	CHECK_INT(ends.n_broken, 0);
	(void)close(from[0]);
	/* And with nothing on its way. */
	make_sockets(from);
	make_sockets(to);
	pump = pump_new(loop,
			&(struct pump_setup){
			    .from = from[1], .to = to[1], .function = count_end, .data = &ends });
	steps(loop);
	pump_end_input(pump);
	CHECK_INT(ends.n, 1);
	steps(loop);
	CHECK_INT(ends.n, 2);
	expect_end(to[0]);
}

/* A pipe has one reader; a FIFO with a name may have none for a while. */
static void test_readers_of_pipes(void)
{
	char directory[] = "/tmp/pump-fifo.XXXXXX", fifo[64];
	_cleanup_(loop_freep) struct loop *loop = NULL;
	struct error *error = NULL;
	struct ends pipe_ends = { 0 }, fifo_ends = { 0 };
	int from[2], fifo_from[2], fds[2], reader, writer;

	CHECK(mkdtemp(directory));
	(void)snprintf(fifo, sizeof(fifo), "%s/fifo", directory);
	CHECK(mkfifo(fifo, 0600) == 0);
	reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	writer = open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	CHECK(reader >= 0 && writer >= 0 && pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
	make_sockets(from);
	make_sockets(fifo_from);
	CHECK_OK(loop_new(&loop, &error), &error);
	(void)pump_new(loop, &(struct pump_setup){ .from = from[1],
						   .to = fds[1],
						   .watches_reader = true,
						   .function = count_end,
						   .data = &pipe_ends });
	(void)pump_new(loop, &(struct pump_setup){ .from = fifo_from[1],
						   .to = writer,
						   .watches_reader = true,
						   .function = count_end,
						   .data = &fifo_ends });
	steps(loop);
	(void)close(reader);
	(void)close(fds[0]);
	steps(loop);
	CHECK_INT(pipe_ends.n_broken, 1);
	CHECK_INT(fifo_ends.n, 0);
	reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	CHECK(write(fifo_from[0], "again", 5) == 5);
	steps(loop);
	expect(reader, "again");
	(void)close(fifo_from[0]);
	steps(loop);
	CHECK_INT(fifo_ends.n, 1);
	CHECK_INT(fifo_ends.n_broken, 0);
	CHECK_OK(remove_tree(directory, &error), &error);
}

static const struct test_case cases[] = {
	{ "both ways: half-close", test_both_ways_half_close },
	{ "both ways, answer first", test_both_ways_answer_first },
	{ "both ways: much", test_both_ways_much },
	{ "both ways: broken", test_both_ways_broken },
	{ "both ways: reset", test_both_ways_reset },
	{ "holds back", test_holds_back },
	{ "holds one chunk", test_holds_one_chunk },
	{ "without reader", test_without_reader },
	{ "whose reader leaves", test_reader_leaves },
	{ "lingers", test_lingers },
	{ "files", test_files },
	{ "sink", test_sink },
	{ "end of input", test_end_input },
	{ "readers of pipes", test_readers_of_pipes },
};

TEST_MAIN(cases)
