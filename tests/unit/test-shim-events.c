/* SPDX-License-Identifier: Apache-2.0 */
/* Events for containerd: what the publisher does, and what a task server tells. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "protocol/events.pb-c.h"
#include "shim/events.h"
#include "tests/unit/event-sink.h"
#include "tests/unit/shim-rig.h"

/* ---- the publisher ---- */

struct bench {
	char directory[32], path[64];
	struct loop *loop;
	struct events *events;
	struct event_sink sink;
};

static void bench_init(struct bench *bench)
{
	struct error *error = NULL;

	memset(bench, 0, sizeof(*bench));
	strcpy(bench->directory, "/tmp/events.XXXXXX");
	CHECK(mkdtemp(bench->directory));
	(void)snprintf(bench->path, sizeof(bench->path), "%s/ttrpc", bench->directory);
	CHECK_OK(loop_new(&bench->loop, &error), &error);
	bench->events = events_new(bench->loop, bench->path, "k8s.io");
}

static void bench_done(struct bench *bench)
{
	events_free(bench->events);
	if (bench->sink.server)
		sink_close(&bench->sink, bench->path);
	sink_done(&bench->sink);
	loop_free(bench->loop);
	CHECK(rmdir(bench->directory) == 0);
}

static void publish_number(struct bench *bench, unsigned number)
{
	Events__TaskPaused event = EVENTS__TASK_PAUSED__INIT;
	char id[16];

	(void)snprintf(id, sizeof(id), "%u", number);
	event.container_id = id;
	events_publish(bench->events, "/tasks/paused", "containerd.events.TaskPaused", &event.base);
}

static void check_numbers(const struct bench *bench, unsigned first, size_t n)
{
	CHECK_INT(bench->sink.n_lines, n);
	for (size_t i = 0; i < n; i++) {
		char wanted[40];

		(void)snprintf(wanted, sizeof(wanted), "/tasks/paused %zu", first + i);
		CHECK_STRING(bench->sink.lines[i], wanted);
	}
}

static void test_delivery(void)
{
	struct bench bench;

	bench_init(&bench);
	sink_open(&bench.sink, bench.loop, bench.path);
	for (unsigned i = 0; i < 100; i++)
		publish_number(&bench, i);
	CHECK_INT(events_waiting(bench.events), 100);
	sink_expect(&bench.sink, 100);
	check_numbers(&bench, 0, 100);
	CHECK_STRING(bench.sink.namespace, "k8s.io");
	while (events_waiting(bench.events) > 0)
		loop_step(bench.loop, 1000);
	bench_done(&bench);
}

static void test_nobody(void)
{
	Events__TaskPaused event = EVENTS__TASK_PAUSED__INIT;

	events_publish(NULL, "/tasks/paused", "containerd.events.TaskPaused", &event.base);
	CHECK_INT(events_waiting(NULL), 0);
	events_free(NULL);
}

static void test_restart(void)
{
	struct bench bench;

	bench_init(&bench);
	/* Not there yet. */
	for (unsigned i = 0; i < 10; i++)
		publish_number(&bench, i);
	for (int i = 0; i < 5; i++)
		loop_step(bench.loop, 50);
	sink_open(&bench.sink, bench.loop, bench.path);
	sink_expect(&bench.sink, 10);
	/* It goes and comes back; an open connection dies with it. */
	for (unsigned round = 1; round <= 3; round++) {
		while (events_waiting(bench.events) > 0)
			loop_step(bench.loop, 1000);
		sink_close(&bench.sink, bench.path);
		for (unsigned i = 0; i < 10; i++)
			publish_number(&bench, round * 10 + i);
		for (int i = 0; i < 5; i++)
			loop_step(bench.loop, 50);
		CHECK_INT(bench.sink.n_lines, round * 10);
		sink_open(&bench.sink, bench.loop, bench.path);
		sink_expect(&bench.sink, round * 10 + 10);
	}
	check_numbers(&bench, 0, 40);
	/* One that says it is going down is tried again as well. */
	bench.sink.unavailable = 3;
	publish_number(&bench, 40);
	sink_expect(&bench.sink, 41);
	check_numbers(&bench, 0, 41);
	bench_done(&bench);
}

static void test_refused(void)
{
	struct bench bench;

	bench_init(&bench);
	sink_open(&bench.sink, bench.loop, bench.path);
	bench.sink.refuse = 4;
	publish_number(&bench, 0);
	publish_number(&bench, 1);
	sink_expect(&bench.sink, 2);
	check_numbers(&bench, 0, 2);
	/* Refused for good: it stands in nobody's way. */
	bench.sink.refuse = 5;
	publish_number(&bench, 77);
	publish_number(&bench, 2);
	sink_expect(&bench.sink, 3);
	check_numbers(&bench, 0, 3);
	bench_done(&bench);
}

static void test_bound(void)
{
	struct bench bench;

	bench_init(&bench);
	for (unsigned i = 0; i < EVENTS_MAX + 10; i++)
		publish_number(&bench, i);
	CHECK_INT(events_waiting(bench.events), EVENTS_MAX);
	sink_open(&bench.sink, bench.loop, bench.path);
	sink_expect(&bench.sink, EVENTS_MAX);
	check_numbers(&bench, 10, EVENTS_MAX);
	bench_done(&bench);
}

static void count(void *data)
{
	++*(unsigned *)data;
}

static void test_drain(void)
{
	unsigned drained = 0;
	struct bench bench;

	bench_init(&bench);
	/* Nobody takes it: the time runs out. */
	publish_number(&bench, 0);
	events_drain(bench.events, 50, count, &drained);
	CHECK_INT(drained, 0);
	while (drained == 0)
		loop_step(bench.loop, 1000);
	CHECK_INT(events_waiting(bench.events), 1);
	/* Taken: it ends at once. */
	events_drain(bench.events, 60000, count, &drained);
	sink_open(&bench.sink, bench.loop, bench.path);
	while (drained == 1)
		loop_step(bench.loop, 1000);
	CHECK_INT(drained, 2);
	CHECK_INT(events_waiting(bench.events), 0);
	check_numbers(&bench, 0, 1);
	/* With nothing to send, from the loop as well. */
	events_drain(bench.events, 60000, count, &drained);
	CHECK_INT(drained, 2);
	loop_step(bench.loop, 1000);
	CHECK_INT(drained, 3);
	bench_done(&bench);
}

/* ---- a task server's events ---- */

struct watched {
	struct rig rig;
	char *path;
	struct loop *loop;
	struct event_sink sink;
};

/* namespace: containerd's; NULL: in CLI mode. */
static void watched_init_in(struct watched *watched, const char *namespace)
{
	struct error *error = NULL;

	memset(watched, 0, sizeof(*watched));
	rig_init(&watched->rig);
	watched->path = xasprintf("%s/ttrpc", watched->rig.directory);
	watched->rig.namespace = namespace;
	watched->rig.events = watched->path;
	CHECK_OK(loop_new(&watched->loop, &error), &error);
	sink_open(&watched->sink, watched->loop, watched->path);
	rig_start(&watched->rig);
}

static void watched_init(struct watched *watched)
{
	watched_init_in(watched, "unit");
}

static void watched_done(struct watched *watched, const char *const *wanted)
{
	size_t n = 0;

	while (wanted[n])
		n++;
	sink_expect(&watched->sink, n);
	for (size_t i = 0; i < n; i++)
		CHECK_STRING(watched->sink.lines[i], wanted[i]);
	CHECK_STRING(watched->sink.namespace, "unit");
	rig_done(&watched->rig);
	/* Nothing came after. */
	loop_step(watched->loop, 0);
	CHECK_INT(watched->sink.n_lines, n);
	sink_done(&watched->sink);
	loop_free(watched->loop);
	free(watched->path);
}

static void test_life(void)
{
	static const char *const wanted[] = {
		"/tasks/create box 1 mounts",
		"/tasks/start box",
		"/tasks/paused box",
		"/tasks/resumed box",
		"/tasks/exit box/box 137",
		"/tasks/delete box/ 137",
		NULL,
	};
	struct error *error = NULL;
	struct watched watched;
	uint32_t pid;

	watched_init(&watched);
	pid = rig_run(&watched.rig, &(struct rig_config){ 0 }, NULL);
	CHECK_OK(rig_simple(&watched.rig, "Pause", &error), &error);
	CHECK_OK(rig_simple(&watched.rig, "Resume", &error), &error);
	CHECK_OK(rig_kill(&watched.rig, "", SIGKILL, &error), &error);
	CHECK_INT(rig_wait(&watched.rig, "", &error), 137);
	/* Not even as a zombie: containerd reaps nothing. */
	CHECK(kill((pid_t)pid, 0) < 0 && errno == ESRCH);
	CHECK_INT(rig_delete(&watched.rig, "", &error), 137);
	watched_done(&watched, wanted);
}

static void test_execs(void)
{
	static const char *const wanted[] = {
		"/tasks/create box 1 mounts",
		"/tasks/start box",
		"/tasks/exec-added box/quick",
		"/tasks/exec-started box/quick",
		"/tasks/exit box/quick 3",
		"/tasks/exec-added box/bad",
		"/tasks/exec-added box/idle",
		"/tasks/exec-added box/long",
		"/tasks/exec-started box/long",
		/* init is killed, and says so last */
		"/tasks/exit box/long 137",
		"/tasks/exit box/box 137",
		"/tasks/delete box/ 137",
		NULL,
	};
	struct error *error = NULL;
	struct watched watched;
	struct rig *rig = &watched.rig;

	watched_init(&watched);
	(void)rig_run(rig, &(struct rig_config){ 0 }, NULL);
	CHECK_OK(rig_exec(rig, "quick", "[\"sh\",\"-c\",\"exit 3\"]", NULL, false, &error), &error);
	CHECK_OK(rig_start_task(rig, "quick", &error), &error);
	CHECK_INT(rig_wait(rig, "quick", &error), 3);
	CHECK_INT(rig_delete(rig, "quick", &error), 3);
	CHECK_OK(rig_exec(rig, "bad", "[\"missing\"]", NULL, false, &error), &error);
	CHECK_ERROR(rig_start_task(rig, "bad", &error), &error, "not found");
	CHECK_INT(rig_delete(rig, "bad", &error), 255);
	CHECK_OK(rig_exec(rig, "idle", "[\"true\"]", NULL, false, &error), &error);
	CHECK_INT(rig_delete(rig, "idle", &error), 0);
	CHECK_OK(rig_exec(rig, "long", "[\"sleep\",\"1000\"]", NULL, false, &error), &error);
	CHECK_OK(rig_start_task(rig, "long", &error), &error);
	CHECK_OK(rig_kill(rig, "", SIGKILL, &error), &error);
	CHECK_INT(rig_wait(rig, "", &error), 137);
	CHECK_INT(rig_delete(rig, "", &error), 137);
	watched_done(&watched, wanted);
}

/* A process that is over before anybody looked, many times: never exit before
 * start. */
static void test_instant_exit(void)
{
	const char *wanted[20 * 4 + 1];
	struct error *error = NULL;
	struct watched watched;

	watched_init(&watched);
	for (size_t i = 0; i < 20; i++) {
		(void)rig_run(&watched.rig, &(struct rig_config){ .args = "[\"true\"]" }, NULL);
		CHECK_INT(rig_wait(&watched.rig, "", &error), 0);
		CHECK_INT(rig_delete(&watched.rig, "", &error), 0);
		wanted[4 * i] = "/tasks/create box 1 mounts";
		wanted[4 * i + 1] = "/tasks/start box";
		wanted[4 * i + 2] = "/tasks/exit box/box 0";
		wanted[4 * i + 3] = "/tasks/delete box/ 0";
	}
	wanted[20 * 4] = NULL;
	watched_done(&watched, wanted);
}

/* The machine dies under it. */
static void test_lost(void)
{
	static const char *const wanted[] = {
		"/tasks/create box 1 mounts", "/tasks/start box",
		"/tasks/exec-added box/e",    "/tasks/exec-started box/e",
		"/tasks/exit box/e 137",      "/tasks/exit box/box 137",
		"/tasks/delete box/ 137",     NULL,
	};
	struct error *error = NULL;
	struct watched watched;
	uint32_t pid;

	watched_init(&watched);
	pid = rig_run(&watched.rig, &(struct rig_config){ 0 }, NULL);
	CHECK_OK(rig_exec(&watched.rig, "e", "[\"sleep\",\"1000\"]", NULL, false, &error), &error);
	CHECK_OK(rig_start_task(&watched.rig, "e", &error), &error);
	CHECK(kill((pid_t)pid, SIGKILL) == 0);
	CHECK_INT(rig_wait(&watched.rig, "", &error), 137);
	CHECK_INT(rig_delete(&watched.rig, "", &error), 137);
	watched_done(&watched, wanted);
}

/* A container that could not be created, and one that was never started. */
static void test_never_started(void)
{
	static const char *const wanted[] = { "/tasks/create box 1 mounts",
					      "/tasks/exit box/box 137", "/tasks/delete box/ 137",
					      NULL };
	struct error *error = NULL;
	struct watched watched;

	watched_init(&watched);
	rig_write_config(&watched.rig, &(struct rig_config){ .args = "[\"missing\"]" });
	CHECK_ERROR(rig_create(&watched.rig, NULL, false, &error) ? 0 : -1, &error, "not found");
	rig_write_config(&watched.rig, &(struct rig_config){ 0 });
	CHECK(rig_create(&watched.rig, NULL, false, &error) > 0);
	CHECK_INT(rig_delete(&watched.rig, "", &error), 137);
	watched_done(&watched, wanted);
}

static void update(struct rig *rig)
{
	Task__UpdateTaskRequest request = TASK__UPDATE_TASK_REQUEST__INIT;
	Task__Any resources = TASK__ANY__INIT;
	struct error *error = NULL;

	resources.value.data = (uint8_t *)(char[]){ "{}" };
	resources.value.len = 2;
	request.id = (char *)RIG_ID;
	request.resources = &resources;
	rig_free(rig_call(rig, "Update", &request.base, &task__empty__descriptor, NULL, 0, &error));
	CHECK_OK(error ? -1 : 0, &error);
}

static uint64_t wait_oom(struct rig *rig, uint64_t seen, struct error **ret_error)
{
	Sandbox__WaitOomRequest request = SANDBOX__WAIT_OOM_REQUEST__INIT;
	Sandbox__WaitOomResponse *response;
	uint64_t count;

	request.id = (char *)RIG_ID;
	request.seen = seen;
	response = (Sandbox__WaitOomResponse *)rig_call(rig, "WaitOom", &request.base,
							&sandbox__wait_oom_response__descriptor,
							NULL, 0, ret_error);
	count = response ? response->count : 0;
	rig_free(response);
	return count;
}

/* The fake guest runs out of memory at every Update. */
static void test_oom(void)
{
	static const char *const wanted[] = {
		"/tasks/create box 1 mounts",
		"/tasks/start box",
		"/tasks/oom box",
		"/tasks/oom box",
		"/tasks/exit box/box 137",
		"/tasks/delete box/ 137",
		NULL,
	};
	struct error *error = NULL;
	struct watched watched;

	watched_init(&watched);
	(void)rig_run(&watched.rig, &(struct rig_config){ 0 }, NULL);
	update(&watched.rig);
	CHECK_INT(wait_oom(&watched.rig, 0, &error), 1);
	/* Two between two questions are one event, and counted. */
	update(&watched.rig);
	update(&watched.rig);
	CHECK_INT(wait_oom(&watched.rig, 1, &error), 3);
	CHECK_INT(wait_oom(&watched.rig, 0, &error), 3);
	CHECK_OK(rig_kill(&watched.rig, "", SIGKILL, &error), &error);
	CHECK_INT(wait_oom(&watched.rig, 3, &error), 0);
	CHECK_ERROR(-1, &error, "container not running");
	CHECK_INT(rig_wait(&watched.rig, "", &error), 137);
	CHECK_INT(rig_delete(&watched.rig, "", &error), 137);
	watched_done(&watched, wanted);
}

/* In CLI mode the caller sees all else, and conmon has its file: where a link of that name leads,
 * nothing is made. */
static void test_oom_on_host(void)
{
	static const char *const wanted[] = { "/tasks/oom box", "/tasks/oom box", NULL };
	_cleanup_free_ char *file = NULL, *target = NULL;
	struct error *error = NULL;
	struct watched watched;

	watched_init_in(&watched, NULL);
	file = xasprintf("%s/oom", watched.rig.bundle);
	target = xasprintf("%s/target", watched.rig.bundle);
	CHECK(symlink(target, file) == 0);
	watched.rig.oom_file = file;
	(void)rig_run(&watched.rig, &(struct rig_config){ 0 }, NULL);
	update(&watched.rig);
	CHECK_INT(wait_oom(&watched.rig, 0, &error), 1);
	CHECK(access(target, F_OK) < 0);
	CHECK(unlink(file) == 0);
	update(&watched.rig);
	CHECK_INT(wait_oom(&watched.rig, 1, &error), 2);
	CHECK(access(file, F_OK) == 0);
	CHECK_OK(rig_kill(&watched.rig, "", SIGKILL, &error), &error);
	CHECK_INT(rig_wait(&watched.rig, "", &error), 137);
	CHECK_INT(rig_delete(&watched.rig, "", &error), 137);
	watched_done(&watched, wanted);
}

static void test_lying_agent(void)
{
	static const char *const wanted[] = { "/tasks/create box 1 mounts", "/tasks/start box",
					      "/tasks/exit box/box 137", "/tasks/delete box/ 137",
					      NULL };
	struct error *error = NULL;
	struct watched watched;

	watched_init(&watched);
	(void)rig_run(&watched.rig, &(struct rig_config){ .fake = "fake.lie=oom" }, NULL);
	(void)usleep(1500000);
	CHECK_OK(rig_kill(&watched.rig, "", SIGKILL, &error), &error);
	CHECK_INT(rig_wait(&watched.rig, "", &error), 137);
	CHECK_INT(rig_delete(&watched.rig, "", &error), 137);
	watched_done(&watched, wanted);
}

static const struct test_case cases[] = {
	{ "delivery", test_delivery },
	{ "nobody", test_nobody },
	{ "restart", test_restart },
	{ "refused", test_refused },
	{ "bound", test_bound },
	{ "drain", test_drain },
	{ "life", test_life },
	{ "execs", test_execs },
	{ "instant exit", test_instant_exit },
	{ "lost", test_lost },
	{ "never started", test_never_started },
	{ "oom", test_oom },
	{ "oom on the host", test_oom_on_host },
	{ "lying agent", test_lying_agent },
};

TEST_MAIN(cases)
