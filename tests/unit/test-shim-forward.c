/* SPDX-License-Identifier: Apache-2.0 */
/* The task server's end of forwarded unix sockets. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "protocol/agent.h"
#include "sandbox/vmm.h"
#include "sandbox/sockets/forward.h"
#include "tests/unit/streams.h"
#include "tests/unit/test.h"

static int accept_in_time(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, 10000) == 1 ? accept4(fd, NULL, NULL, SOCK_CLOEXEC) : -1;
}

struct fixture {
	char directory[64];
	int target; /* the host's socket listens */
	char *path; /* where the VMM connects */
	struct plan_files files;
	pid_t server;
	int control; /* closing it ends the server */
};

static void control_ended(void *data, uint32_t events)
{
	(void)events;
	loop_quit(data);
}

static void __attribute__((noreturn)) serve(const struct fixture *f, int control)
{
	struct forwards *forwards;
	struct error *error = NULL;
	struct source *source;
	struct lodge *lodge;
	struct loop *loop;

	(void)close(f->target);
	CHECK_OK(loop_new(&loop, &error), &error);
	lodge = lodge_new(FORWARDS_JOINED_MAX, FORWARDS_HANDSHAKES_MAX);
	CHECK_OK(forwards_new(loop, lodge, f->directory, &f->files, &forwards, &error), &error);
	CHECK_OK(
	    loop_add_io(loop, control, POLLIN, "control", control_ended, loop, &source, &error),
	    &error);
	CHECK(write(control, "", 1) == 1);
	loop_run(loop);
	forwards_free(forwards);
	lodge_free(lodge);
	source_remove(source);
	loop_free(loop);
	exit(0);
}

static void fixture_init(struct fixture *f)
{
	static const char key[PLAN_SOCKET_KEY_SIZE] = "0123456789abcde";
	_cleanup_free_ char *path = NULL;
	struct error *error = NULL;
	int control[2];
	char byte;

	*f = (struct fixture){ .directory = "/tmp/shim-forward.XXXXXX" };
	CHECK(mkdtemp(f->directory));
	path = xasprintf("%s/target", f->directory);
	f->target = unix_listen(path, 0600, &error);
	CHECK_OK(f->target, &error);
	f->path = vmm_port_path(f->directory, AGENT_FORWARD_PORT_FIRST);
	f->files.sockets = xcalloc(1, sizeof(*f->files.sockets));
	f->files.n_sockets = 1;
	f->files.sockets[0].port = AGENT_FORWARD_PORT_FIRST;
	f->files.sockets[0].fd = open(path, O_PATH | O_CLOEXEC);
	memcpy(f->files.sockets[0].key, key, sizeof(key));
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) == 0);
	(void)fflush(NULL);
	f->server = fork();
	if (f->server == 0) {
		(void)close(control[0]);
		serve(f, control[1]);
	}
	(void)close(control[1]);
	f->control = control[0];
	CHECK(read(f->control, &byte, 1) == 1);
}

static void fixture_done(struct fixture *f)
{
	struct error *error = NULL;
	int status;

	(void)close(f->control);
	CHECK(waitpid(f->server, &status, 0) == f->server);
	CHECK_INT(status, 0);
	CHECK(access(f->path, F_OK) < 0);
	plan_files_done(&f->files);
	free(f->path);
	(void)close(f->target);
	CHECK_OK(remove_tree(f->directory, &error), &error);
}

static int dial(const struct fixture *f)
{
	struct error *error = NULL;
	int fd = unix_connect(f->path, &error);

	CHECK_OK(fd, &error);
	return fd;
}

static void test_forward(void)
{
	struct fixture f;
	int fd, host;

	fixture_init(&f);
	fd = dial(&f);
	/* The key in two parts, the program's first bytes behind it. */
	CHECK(write_all(fd, "0123456", 7) == 0);
	CHECK(write_all(fd, "789abcde\0hello", 14) == 0);
	host = accept_in_time(f.target);
	CHECK(host >= 0);
	expect(host, "hello");
	CHECK(write_all(host, "there", 5) == 0);
	expect(fd, "there");
	(void)close(host);
	expect_end(fd);
	(void)close(fd);
	fixture_done(&f);
}

/* A program without the key never reaches the host's socket. */
static void test_wrong_key(void)
{
	static const char *const keys[] = { "0123456789abcdeX", "XXXXXXXXXXXXXXXX" };
	struct pollfd poll_fd = { .events = POLLIN };
	struct fixture f;
	int fd;

	fixture_init(&f);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		fd = dial(&f);
		CHECK(write_all(fd, keys[i], 16) == 0);
		expect_end(fd);
		(void)close(fd);
	}
	/* Too short, and then the end. */
	fd = dial(&f);
	CHECK(write_all(fd, "0123", 4) == 0);
	CHECK(shutdown(fd, SHUT_WR) == 0);
	expect_end(fd);
	(void)close(fd);
	poll_fd.fd = f.target;
	CHECK_INT(poll(&poll_fd, 1, 0), 0);
	fixture_done(&f);
}

/* The socket that was planned, not what its path names later. */
static void test_replaced(void)
{
	_cleanup_free_ char *path = NULL;
	struct pollfd poll_fd = { .events = POLLIN };
	struct error *error = NULL;
	struct fixture f;
	int other, fd;

	fixture_init(&f);
	path = xasprintf("%s/target", f.directory);
	CHECK(unlink(path) == 0);
	other = unix_listen(path, 0600, &error);
	CHECK_OK(other, &error);
	(void)close(f.target);
	f.target = -1;
	fd = dial(&f);
	CHECK(write_all(fd, "0123456789abcde\0x", 17) == 0);
	expect_end(fd);
	(void)close(fd);
	poll_fd.fd = other;
	CHECK_INT(poll(&poll_fd, 1, 0), 0);
	(void)close(other);
	fixture_done(&f);
}

/* The server ends with connections open, and one that has said nothing. */
static void test_end(void)
{
	struct fixture f;
	int fd, silent, host;

	fixture_init(&f);
	silent = dial(&f);
	fd = dial(&f);
	CHECK(write_all(fd, "0123456789abcde", 16) == 0);
	host = accept_in_time(f.target);
	CHECK(host >= 0);
	fixture_done(&f);
	expect_end(fd);
	expect_end(silent);
	expect_end(host);
	(void)close(fd);
	(void)close(silent);
	(void)close(host);
}

static const struct test_case cases[] = {
	{ "forward", test_forward },
	{ "wrong key", test_wrong_key },
	{ "replaced", test_replaced },
	{ "end", test_end },
};

TEST_MAIN(cases)
