/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners, and the doorman who lets connections in. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/doorman.h"
#include "base/io.h"
#include "base/listener.h"
#include "tests/unit/streams.h"
#include "tests/unit/test.h"

#define VISITORS_MAX 3
#define HANDSHAKE_MS 300

/* A door at which one says a letter; those who say 'y' are let in. */
struct house {
	char directory[40];
	char *path;
	struct loop *loop;
	struct doorman *doorman;
	int inside; /* the other side of the last one who was let in */
	int n_came, n_left;
	char why[64];
};

struct asker {
	struct visitor visitor;
	int n_asked;
};

static void steps(struct loop *loop)
{
	for (int i = 0; i < 20; i++)
		loop_step(loop, 0);
}

static void ask(struct visitor *visitor)
{
	struct house *house = doorman_data(visitor->doorman);
	int fds[2];
	char word;

	((struct asker *)visitor)->n_asked++;
	if (recv(visitor->fd, &word, 1, MSG_DONTWAIT) != 1 || word != 'y') {
		visitor_refuse(visitor);
		return;
	}
	make_sockets(fds);
	house->inside = fds[0];
	visitor_join(visitor, fds[1]);
}

static void came(struct visitor *visitor)
{
	struct house *house = doorman_data(visitor->doorman);

	CHECK_STRING(visitor->door, "front");
	CHECK_INT(((struct asker *)visitor)->n_asked, 0);
	house->n_came++;
	visitor_watch(visitor, visitor->fd, EPOLLIN, ask);
}

static void leaves(struct visitor *visitor)
{
	struct house *house = doorman_data(visitor->doorman);

	house->n_left++;
}

static void turned_away(void *data, const char *why)
{
	struct house *house = data;

	(void)snprintf(house->why, sizeof(house->why), "%s", why);
}

static void house_init_in(struct house *house, struct lodge *lodge)
{
	const struct doorman_setup setup = { .visitor_size = sizeof(struct asker),
					     .came = came,
					     .leaves = leaves,
					     .turned_away = turned_away,
					     .data = house,
					     .lodge = lodge,
					     .visitors_max = lodge ? 0 : VISITORS_MAX,
					     .handshake_ms = HANDSHAKE_MS };
	struct error *error = NULL;

	*house = (struct house){ .directory = "/tmp/test-doorman.XXXXXX", .inside = -1 };
	CHECK(mkdtemp(house->directory));
	house->path = xasprintf("%s/front", house->directory);
	CHECK_OK(loop_new(&house->loop, &error), &error);
	house->doorman = doorman_new(house->loop, &setup);
	/* In place of one that somebody left behind. */
	CHECK(mknod(house->path, S_IFREG | 0600, 0) == 0);
	CHECK_OK(doorman_listen(house->doorman, house->path, 0640, (char *)"front", &error),
		 &error);
}

static void house_init(struct house *house)
{
	house_init_in(house, NULL);
}

static void house_done(struct house *house)
{
	struct error *error = NULL;

	doorman_free(house->doorman);
	CHECK_INT(house->n_left, house->n_came);
	CHECK(access(house->path, F_OK) < 0);
	loop_free(house->loop);
	CHECK_OK(remove_tree(house->directory, &error), &error);
	free(house->path);
}

static int visit(struct house *house, const char *word)
{
	struct error *error = NULL;
	int fd = unix_connect(house->path, &error);

	CHECK_OK(fd, &error);
	CHECK(write_all(fd, word, strlen(word)) == 0);
	steps(house->loop);
	return fd;
}

static void test_handshake(void)
{
	struct house house;
	struct stat st;
	int fd;

	house_init(&house);
	CHECK(stat(house.path, &st) == 0 && S_ISSOCK(st.st_mode));
	CHECK_INT(st.st_mode & 0777, 0640);
	/* What follows the handshake is the stream's. */
	fd = visit(&house, "yhello");
	expect(house.inside, "hello");
	CHECK(write_all(house.inside, "there", 5) == 0);
	steps(house.loop);
	expect(fd, "there");
	(void)close(house.inside);
	steps(house.loop);
	CHECK_INT(house.n_left, 0);
	expect_end(fd);
	(void)close(fd);
	steps(house.loop);
	CHECK_INT(house.n_left, 1);
	fd = visit(&house, "n");
	expect_end(fd);
	(void)close(fd);
	CHECK_INT(house.n_left, 2);
	CHECK_STRING(house.why, "");
	/* By another way than a door of its own. */
	{
		int fds[2];

		make_sockets(fds);
		doorman_admit(house.doorman, fds[1], (char *)"front");
		CHECK(write_all(fds[0], "yagain", 6) == 0);
		steps(house.loop);
		expect(house.inside, "again");
		(void)close(fds[0]);
	}
	house_done(&house);
}

/* As many as may be there at once, in handshakes or let in; then the next one is turned away,
 * until one has gone. */
static void test_too_many(void)
{
	struct house house;
	int fds[VISITORS_MAX], fd;

	house_init(&house);
	for (size_t i = 0; i < VISITORS_MAX; i++)
		fds[i] = visit(&house, i % 2 ? "y" : "");
	CHECK_STRING(house.why, "");
	fd = visit(&house, "y");
	expect_end(fd);
	(void)close(fd);
	CHECK_STRING(house.why, "there are too many at once");
	(void)close(fds[0]);
	fd = visit(&house, "ylate");
	expect(house.inside, "late");
	CHECK_INT(house.n_came, VISITORS_MAX + 1);
	doorman_free(TAKE_PTR(house.doorman));
	/* The end of it all: let in, in a handshake. */
	expect_end(fds[1]);
	expect_end(fds[2]);
	expect_end(fd);
	house_done(&house);
}

/* Visits until somebody is turned away; how many were let in. */
static int fill(struct house *house)
{
	int n = 0;

	for (;;) {
		int fd = visit(house, "y");

		if (house->why[0]) {
			expect_end(fd);
			(void)close(fd);
			house->why[0] = '\0';
			return n;
		}
		CHECK(++n < 100);
	}
}

/* However many were let in at one house, there is room at the others. */
static void test_lodge(void)
{
	struct lodge *lodge = lodge_new(30, 3);
	struct house houses[3];
	struct house *again = &houses[0];

	for (size_t i = 0; i < ARRAY_SIZE(houses); i++)
		house_init_in(&houses[i], lodge);
	CHECK_INT(fill(&houses[0]), 20);
	CHECK_INT(fill(&houses[1]), 7);
	CHECK_INT(fill(&houses[2]), 2);
	CHECK_INT(fill(&houses[1]), 0);
	/* All that were let in leave: their places are free. */
	house_done(&houses[0]);
	house_init_in(again, lodge);
	CHECK_INT(fill(&houses[2]), 14);
	for (size_t i = 0; i < ARRAY_SIZE(houses); i++)
		house_done(&houses[i]);
	lodge_free(lodge);
}

/* Those who never say their word make room for others, of whatever house. */
static void test_lodge_handshakes(void)
{
	struct lodge *lodge = lodge_new(30, 3);
	struct house first, second;
	int silent[4], fd;

	house_init_in(&first, lodge);
	house_init_in(&second, lodge);
	for (int i = 0; i < 3; i++)
		silent[i] = visit(i == 1 ? &second : &first, "");
	silent[3] = visit(&second, "");
	expect_end(silent[0]);
	CHECK_STRING(first.why, "too many others came before its handshake");
	CHECK_STRING(second.why, "");
	fd = visit(&first, "yhello");
	expect(first.inside, "hello");
	expect_end(silent[1]);
	/* One that is let in is in nobody's way. */
	CHECK(write_all(silent[2], "yme", 3) == 0);
	steps(first.loop);
	expect(first.inside, "me");
	for (int i = 0; i < 3; i++)
		(void)visit(&second, "");
	CHECK(write_all(fd, "still", 5) == 0);
	house_done(&first);
	house_done(&second);
	lodge_free(lodge);
}

static void test_too_slow(void)
{
	struct house house;
	uint64_t start = clock_monotonic_ns();
	int slow, quick;

	house_init(&house);
	slow = visit(&house, "");
	quick = visit(&house, "y");
	while (house.n_left == 0 && clock_monotonic_ns() - start < 10000000000)
		loop_step(house.loop, 100);
	CHECK_INT(house.n_left, 1);
	CHECK(clock_monotonic_ns() - start >= HANDSHAKE_MS * UINT64_C(1000000));
	CHECK_STRING(house.why, "its handshake did not come in time");
	expect_end(slow);
	/* Who has been let in may take his time. */
	CHECK(write_all(quick, "still", 5) == 0);
	steps(house.loop);
	expect(house.inside, "still");
	house_done(&house);
}

/* Who comes while there is no descriptor waits; the loop does not spin, and others go on. */
static void test_out_of_descriptors(void)
{
	struct house house;
	struct rlimit limit, low;
	struct error *error = NULL;
	int fd, inside, waiting, highest, n_steps = 0;
	uint64_t start;

	house_init(&house);
	fd = visit(&house, "y");
	inside = house.inside;
	waiting = unix_connect(house.path, &error);
	CHECK_OK(waiting, &error);
	highest = dup(0);
	CHECK(highest >= 0 && close(highest) == 0);
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	low = limit;
	low.rlim_cur = (rlim_t)highest;
	CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
	start = clock_monotonic_ns();
	while (clock_monotonic_ns() - start < 50000000) {
		loop_step(house.loop, 10);
		n_steps++;
	}
	CHECK(n_steps < 20);
	CHECK_INT(house.n_came, 1);
	CHECK(write_all(fd, "on", 2) == 0);
	steps(house.loop);
	expect(inside, "on");
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(write_all(waiting, "ywaited", 7) == 0);
	start = clock_monotonic_ns();
	while (house.inside == inside && clock_monotonic_ns() - start < 10000000000)
		loop_step(house.loop, 100);
	steps(house.loop);
	expect(house.inside, "waited");
	house_done(&house);
}

static void count(void *data, int fd)
{
	(*(int *)data)++;
	(void)close(fd);
}

static void test_listener_waits(void)
{
	char directory[] = "/tmp/test-doorman.XXXXXX";
	_cleanup_free_ char *path = NULL;
	struct listener *listener;
	struct error *error = NULL;
	struct loop *loop;
	int fds[3], n = 0;

	CHECK(mkdtemp(directory));
	path = xasprintf("%s/socket", directory);
	CHECK_OK(loop_new(&loop, &error), &error);
	CHECK_OK(listener_new(loop, unix_listen(path, 0600, &error), "test", count, &n, &listener,
			      &error),
		 &error);
	listener_pause(listener, true);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = unix_connect(path, &error);
	steps(loop);
	CHECK_INT(n, 0);
	listener_pause(listener, false);
	steps(loop);
	CHECK_INT(n, ARRAY_SIZE(fds));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		(void)close(fds[i]);
	/* Before the loop has seen it. */
	fds[0] = unix_connect(path, &error);
	CHECK_INT(n, ARRAY_SIZE(fds));
	listener_accept_now(listener);
	CHECK_INT(n, ARRAY_SIZE(fds) + 1);
	(void)close(fds[0]);
	listener_free(listener);
	CHECK_ERROR(listener_new(loop, -1, "test", count, &n, &listener, &error), &error,
		    "cannot use the test descriptor");
	loop_free(loop);
	CHECK_OK(remove_tree(directory, &error), &error);
}

/* A socket that others have as well stays as it is for them. */
static void test_others_socket(void)
{
	struct house house;
	struct error *error = NULL;
	char front[] = "front";
	int fd, client;

	house_init(&house);
	CHECK(unlink(house.path) == 0);
	fd = unix_listen(house.path, 0600, &error);
	CHECK_OK(fd, &error);
	CHECK_OK(doorman_serve(house.doorman, dup(fd), front, &error), &error);
	CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	for (int i = 0; i < 2; i++) {
		client = visit(&house, "yhello");
		expect(house.inside, "hello");
		(void)close(client);
	}
	CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	(void)close(fd);
	house_done(&house);
}

/* Another program, which takes a connection that we are told of, too. */
static void take_first(void *data, uint32_t events)
{
	int *fd = data;
	struct pollfd pollfd = { .fd = *fd, .events = POLLIN };

	(void)events;
	if (poll(&pollfd, 1, 0) == 1)
		(void)close(accept4(*fd, NULL, NULL, SOCK_CLOEXEC));
}

static void test_taken_first(void)
{
	char path[] = "/tmp/test-doorman.XXXXXX";
	struct sigaction action = { .sa_handler = SIG_IGN };
	struct source *takers[2];
	struct listener *listener;
	struct error *error = NULL;
	struct loop *loop;
	int fds[3], client, n = 0;

	(void)close(mkstemp(path));
	CHECK(unlink(path) == 0);
	CHECK_OK(loop_new(&loop, &error), &error);
	fds[0] = unix_listen(path, 0600, &error);
	fds[1] = dup(fds[0]);
	fds[2] = dup(fds[0]);
	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	/* On either side of the listener, so that one of them is asked before it. */
	CHECK_OK(
	    loop_add_io(loop, fds[1], EPOLLIN, "taker", take_first, &fds[1], &takers[0], &error),
	    &error);
	CHECK_OK(listener_new_shared(loop, fds[0], "test", count, &n, &listener, &error), &error);
	CHECK_OK(
	    loop_add_io(loop, fds[2], EPOLLIN, "taker", take_first, &fds[2], &takers[1], &error),
	    &error);
	client = unix_connect(path, &error);
	CHECK_OK(client, &error);
	loop_step(loop, 0);
	CHECK_INT(n, 0);
	CHECK(sigaction(SIGALRM, NULL, &action) == 0 && action.sa_handler == SIG_IGN);
	(void)close(client);
	source_remove(takers[0]);
	source_remove(takers[1]);
	client = unix_connect(path, &error);
	steps(loop);
	CHECK_INT(n, 1);
	(void)close(client);
	listener_free(listener);
	loop_free(loop);
	for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
		(void)close(fds[i]);
	CHECK(unlink(path) == 0);
}

static const struct test_case cases[] = {
	{ "handshake", test_handshake },
	{ "too many", test_too_many },
	{ "lodge", test_lodge },
	{ "lodge handshakes", test_lodge_handshakes },
	{ "too slow", test_too_slow },
	{ "out of descriptors", test_out_of_descriptors },
	{ "listener waits", test_listener_waits },
	{ "the socket of others", test_others_socket },
	{ "taken first", test_taken_first },
};

TEST_MAIN(cases)
