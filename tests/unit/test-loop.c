/* SPDX-License-Identifier: Apache-2.0 */
/* base/loop: sources, timers, signals, cross-thread calls. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/loop.h"
#include "tests/unit/test.h"

struct fixture {
	struct loop *loop;
	struct source *sources[2];
	int pipes[2][2];
	int calls;
	int order[4];
};

static void fixture_init(struct fixture *f)
{
	struct error *error = NULL;

	CHECK_OK(loop_new(&f->loop, &error), &error);
	CHECK(pipe(f->pipes[0]) == 0 && pipe(f->pipes[1]) == 0);
}

static void remove_both(void *data, uint32_t events)
{
	struct fixture *f = data;

	CHECK(events & EPOLLIN);
	f->calls++;
	source_clear(&f->sources[0]);
	source_clear(&f->sources[1]);
}

/* Both are ready in one round; the first handler removes the second. */
static void test_remove_while_dispatching(void)
{
	struct fixture f = { 0 };
	struct error *error = NULL;

	fixture_init(&f);
	for (int i = 0; i < 2; i++) {
		CHECK(write(f.pipes[i][1], "x", 1) == 1);
		CHECK_OK(loop_add_io(f.loop, f.pipes[i][0], EPOLLIN, "test", remove_both, &f,
				     &f.sources[i], &error),
			 &error);
	}
	loop_step(f.loop, 1000);
	loop_step(f.loop, 0);
	CHECK_INT(f.calls, 1);
	loop_free(f.loop);
}

static struct fixture *timers;

static void fire(void *data)
{
	timers->order[timers->calls++] = *(int *)data;
	if (timers->calls == 3)
		loop_quit(timers->loop);
}

static void test_timers_in_order(void)
{
	static int ids[] = { 1, 2, 3, 4 };
	struct fixture f = { 0 };
	struct source *cancelled;

	fixture_init(&f);
	timers = &f;
	(void)loop_add_timer(f.loop, 30, "c", fire, &ids[2]);
	(void)loop_add_timer(f.loop, 1, "a", fire, &ids[0]);
	cancelled = loop_add_timer(f.loop, 5, "x", fire, &ids[3]);
	(void)loop_add_timer(f.loop, 10, "b", fire, &ids[1]);
	source_remove(cancelled);
	loop_run(f.loop);
	CHECK_INT(f.order[0], 1);
	CHECK_INT(f.order[1], 2);
	CHECK_INT(f.order[2], 3);
	loop_free(f.loop);
}

static void on_signal(void *data, const struct signalfd_siginfo *info)
{
	struct fixture *f = data;

	CHECK_INT(info->ssi_signo, SIGUSR1);
	loop_quit(f->loop);
}

static void test_signal(void)
{
	struct fixture f = { 0 };
	struct error *error = NULL;
	struct source *source;

	fixture_init(&f);
	CHECK_OK(loop_add_signal(f.loop, SIGUSR1, "test", on_signal, &f, &source, &error), &error);
	CHECK(kill(getpid(), SIGUSR1) == 0);
	loop_run(f.loop);
	loop_free(f.loop);
}

static void count(void *data)
{
	struct fixture *f = data;

	if (++f->calls == 2000)
		loop_quit(f->loop);
}

static void *call_many(void *data)
{
	struct fixture *f = data;

	for (int i = 0; i < 1000; i++)
		loop_call(f->loop, count, f);
	return NULL;
}

static void test_calls_from_threads(void)
{
	struct fixture f = { 0 };
	pthread_t threads[2];

	fixture_init(&f);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&threads[i], NULL, call_many, &f) == 0);
	loop_run(f.loop);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK_INT(f.calls, 2000);
	loop_free(f.loop);
}

static void answered(void *data, uint32_t events)
{
	(void)events;
	*(bool *)data = true;
}

static void overdue(void *data)
{
	_exit(*(const bool *)data ? 0 : 1);
}

/* Waits for an answer and gives up after 300 ms. */
static void wait_for_answer(int fd)
{
	struct loop *loop;
	struct source *source;
	bool has_answer = false;

	CHECK(loop_new(&loop, NULL) == 0);
	CHECK(loop_add_io(loop, fd, EPOLLIN | EPOLLET, "answer", answered, &has_answer, &source,
			  NULL) == 0);
	(void)loop_add_timer(loop, 300, "overdue", overdue, &has_answer);
	loop_run(loop);
}

/* Both sides are stopped for longer than that, and the other one is a bit slower to go on. */
static void test_stopped(void)
{
	int answers[2], status;
	pid_t pid;

	CHECK(pipe(answers) == 0);
	pid = fork();
	if (pid == 0)
		wait_for_answer(answers[0]);
	(void)usleep(50000);
	CHECK(kill(pid, SIGSTOP) == 0);
	CHECK(waitpid(pid, &status, WUNTRACED) == pid);
	(void)usleep(500000);
	CHECK(kill(pid, SIGCONT) == 0);
	(void)usleep(50000);
	CHECK(write(answers[1], "x", 1) == 1);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	(void)close(answers[0]);
	(void)close(answers[1]);
}

static const struct test_case cases[] = {
	{ "remove while dispatching", test_remove_while_dispatching },
	{ "timers in order", test_timers_in_order },
	{ "signal", test_signal },
	{ "calls from threads", test_calls_from_threads },
	{ "stopped", test_stopped },
};

TEST_MAIN(cases)
