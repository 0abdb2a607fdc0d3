/* SPDX-License-Identifier: Apache-2.0 */
/* Large blobs in ranges, from a registry that gives them, or does so badly. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "rootfs/registry/blob.h"
#include "rootfs/registry/registry-parts.h"
#include "tests/unit/fake-registry.h"
#include "tests/unit/test.h"

#define RANGE 100000U
#define BLOB_SIZE (10 * RANGE + 12345) /* 11 ranges */
#define TOGETHER 3
#define PATIENCE_S 60
#define LEASE 4 /* requests that a place answers */
#define PLACES_MAX 64

enum fault {
	FAULT_NONE,
	FAULT_ALONE, /* the first ones wait for each other */
	FAULT_NO_RANGES,
	FAULT_REFUSED, /* 416 */
	FAULT_NO_RANGES_LATER,
	FAULT_OTHER_RANGE,
	FAULT_LONGER,
	FAULT_SHORTER, /* half of what is asked for, each time */
	FAULT_CUT,
	FAULT_BUSY, /* 429 for every third one */
	FAULT_WRONG_BYTES,
	FAULT_MISSING, /* 404 in the middle */
	FAULT_REDIRECT,
	FAULT_LEASE, /* and what it leads to has its time */
};

static struct {
	enum fault fault;
	pthread_mutex_t lock;
	pthread_cond_t come;
	unsigned requests, other_requests, wholes, inside;
	unsigned leased[PLACES_MAX]; /* requests to each place */
	bool were_together;
	struct fake_registry *server, *other;
	uint8_t blob[BLOB_SIZE];
	char digest[DIGEST_SIZE];
} rig = { .lock = PTHREAD_MUTEX_INITIALIZER, .come = PTHREAD_COND_INITIALIZER };

struct asked {
	bool is_range; /* with both ends */
	uint64_t from, to;
};

static struct asked parse_range(const char *head)
{
	const char *at = strstr(head, "Range: bytes=");
	struct asked asked = { .to = BLOB_SIZE };
	char *end;

	if (!at)
		return asked;
	asked.from = strtoull(at + strlen("Range: bytes="), &end, 10);
	if (end[0] == '-' && end[1] >= '0' && end[1] <= '9') {
		asked.is_range = true;
		asked.to = strtoull(end + 1, NULL, 10) + 1;
	}
	CHECK(asked.from < asked.to && asked.to <= BLOB_SIZE);
	return asked;
}

static void send_range(int fd, uint64_t from, uint64_t to, uint64_t sent)
{
	char header[100];

	(void)snprintf(header, sizeof(header), "Content-Range: bytes %llu-%llu/%u\r\n",
		       (unsigned long long)from, (unsigned long long)to - 1, BLOB_SIZE);
	fake_say_length(fd, "206 Partial", header, rig.blob + from, sent, to - from);
}

/* Until that many are here at the same time. */
static void wait_for_others(void)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	CHECK(pthread_mutex_lock(&rig.lock) == 0);
	rig.inside++;
	if (rig.inside == TOGETHER) {
		rig.were_together = true;
		CHECK(pthread_cond_broadcast(&rig.come) == 0);
	}
	while (!rig.were_together &&
	       pthread_cond_timedwait(&rig.come, &rig.lock, &until) != ETIMEDOUT)
		;
	rig.inside--;
	CHECK(pthread_mutex_unlock(&rig.lock) == 0);
}

static void answer_range(int fd, const struct asked *asked, unsigned number)
{
	const uint64_t size = asked->to - asked->from;

	switch (rig.fault) {
	case FAULT_ALONE:
		if (asked->from > 0)
			wait_for_others();
		break;
	case FAULT_NO_RANGES:
		fake_say(fd, "200 OK", "", rig.blob, BLOB_SIZE);
		return;
	case FAULT_REFUSED:
		fake_say(fd, "416 No", "", "", 0);
		return;
	case FAULT_NO_RANGES_LATER:
		if (number < 4)
			break;
		fake_say(fd, "200 OK", "", rig.blob, BLOB_SIZE);
		return;
	case FAULT_OTHER_RANGE:
		if (number < 4)
			break;
		send_range(fd, asked->from - 1, asked->to, size + 1);
		return;
	case FAULT_LONGER:
		if (number < 4 || asked->to == BLOB_SIZE)
			break;
		send_range(fd, asked->from, asked->to + 1, size + 1);
		return;
	case FAULT_SHORTER:
		send_range(fd, asked->from, asked->from + size / 2 + 1, size / 2 + 1);
		return;
	case FAULT_CUT:
		if (number % 3 != 0)
			break;
		send_range(fd, asked->from, asked->to, size / 2);
		return;
	case FAULT_BUSY:
		if (number % 3 != 0)
			break;
		fake_say(fd, "429 Wait", "", "", 0);
		return;
	case FAULT_MISSING:
		if (number < 4)
			break;
		fake_say(fd, "404 No", "", "", 0);
		return;
	default:
		break;
	}
	send_range(fd, asked->from, asked->to, size);
}

static unsigned count(unsigned *counter)
{
	unsigned now;

	CHECK(pthread_mutex_lock(&rig.lock) == 0);
	now = ++*counter;
	CHECK(pthread_mutex_unlock(&rig.lock) == 0);
	return now;
}

static void answer(void *data, int fd, const char *path, const char *head)
{
	const struct asked asked = parse_range(head);
	const unsigned number = count(&rig.requests);
	_cleanup_free_ char *location = xasprintf("Location: http://127.0.0.1:%u/%u\r\n",
						  fake_registry_port(rig.other), number);

	(void)data;
	(void)path;
	if (rig.fault == FAULT_REDIRECT || rig.fault == FAULT_LEASE) {
		fake_say(fd, "307 Temporary Redirect", location, "", 0);
	} else if (asked.is_range) {
		answer_range(fd, &asked, number);
	} else {
		(void)count(&rig.wholes);
		if (asked.from > 0)
			send_range(fd, asked.from, asked.to, asked.to - asked.from);
		else
			fake_say(fd, "200 OK", "", rig.blob, BLOB_SIZE);
	}
}

static void answer_other(void *data, int fd, const char *path, const char *head)
{
	const struct asked asked = parse_range(head);
	const unsigned long place = strtoul(path + 1, NULL, 10);

	(void)data;
	(void)count(&rig.other_requests);
	CHECK(!strstr(head, "Authorization:") && place < PLACES_MAX);
	if (count(&rig.leased[place]) > LEASE && rig.fault == FAULT_LEASE)
		fake_say(fd, "403 Expired", "", "", 0);
	else
		send_range(fd, asked.from, asked.to, asked.to - asked.from);
}

static void start(enum fault fault)
{
	struct error *error = NULL;

	(void)unsetenv("http_proxy");
	(void)unsetenv("all_proxy");
	(void)unsetenv("ALL_PROXY");
	rig.fault = fault;
	rig.requests = rig.other_requests = rig.wholes = rig.inside = 0;
	rig.were_together = false;
	memset(rig.leased, 0, sizeof(rig.leased));
	for (size_t i = 0; i < BLOB_SIZE; i++)
		rig.blob[i] = (uint8_t)(i * 2654435761U >> 13);
	CHECK_OK(digest_of(rig.blob, BLOB_SIZE, rig.digest, &error), &error);
	rig.blob[BLOB_SIZE / 2] ^= fault == FAULT_WRONG_BYTES;
	rig.other = fake_registry_start_threads(answer_other, NULL, 6);
	rig.server = fake_registry_start_threads(answer, NULL, 6);
}

static void stop(void)
{
	fake_registry_stop(rig.server);
	fake_registry_stop(rig.other);
}

static struct registry *open_registry(struct http *http)
{
	_cleanup_free_ char *name = xasprintf("127.0.0.1:%u/x/y", fake_registry_port(rig.server));
	_cleanup_(reference_freep) struct reference *reference = NULL;
	const struct registry_options options = {
		.retry_ms = 1, .authfile = "/dev/null/none", .user = "user", .password = "secret"
	};
	struct registry *registry;
	struct error *error = NULL;

	CHECK_OK(reference_parse(name, &reference, &error), &error);
	CHECK_OK(registry_open(http, reference, &options, &registry, &error), &error);
	return registry;
}

/* What has come to `copy`, from its start, is the blob. */
static void check_copy(int copy)
{
	_cleanup_free_ uint8_t *got = xcalloc(1, BLOB_SIZE + 1);

	CHECK(lseek(copy, 0, SEEK_SET) == 0);
	CHECK_INT(read_all(copy, got, BLOB_SIZE + 1), BLOB_SIZE);
	CHECK(memcmp(got, rig.blob, BLOB_SIZE) == 0);
}

static int fetch(struct error **ret_error)
{
	_cleanup_close_ int copy = memfd_create("copy", MFD_CLOEXEC);
	_cleanup_(http_freep) struct http *http = NULL;
	_cleanup_(registry_freep) struct registry *registry = NULL;
	_cleanup_(blob_freep) struct blob *blob = NULL;
	struct blob_setup setup = { .digest = rig.digest,
				    .size = BLOB_SIZE,
				    .sink_fd = -1,
				    .copy_fd = copy,
				    .directory = "/tmp",
				    .range_size = RANGE };

	CHECK_OK(http_new(&http, ret_error), ret_error);
	registry = open_registry(http);
	blob = blob_start(registry, &setup);
	while (blob_go_on(blob) == FETCH_RUNS) {
		CHECK(blob_received(blob) <= BLOB_SIZE);
		CHECK(registry->n_ranges <= BLOB_RANGES);
		http_step(http, NULL, 0, 10);
	}
	CHECK(registry->ranges_max == REGISTRY_RANGES_MAX || rig.fault == FAULT_BUSY);
	if (blob_go_on(blob) == FETCH_FAILED) {
		*ret_error = blob_take_error(blob);
		return -1;
	}
	CHECK_INT(blob_received(blob), BLOB_SIZE);
	check_copy(copy);
	return 0;
}

/* requests, wholes: that many, or any if they are -1. */
static void works_with(enum fault fault, int requests, int wholes)
{
	struct error *error = NULL;

	start(fault);
	CHECK_OK(fetch(&error), &error);
	stop();
	if (requests >= 0)
		CHECK_INT(rig.requests, requests);
	if (wholes >= 0)
		CHECK_INT(rig.wholes, wholes);
}

static void test_together(void)
{
	works_with(FAULT_NONE, 11, 0);
	works_with(FAULT_ALONE, 11, 0);
	CHECK(rig.were_together);
}

static void test_without(void)
{
	works_with(FAULT_NO_RANGES, 2, 1);
	works_with(FAULT_REFUSED, 2, 1);
	works_with(FAULT_NO_RANGES_LATER, -1, 1);
	works_with(FAULT_OTHER_RANGE, -1, 1);
	works_with(FAULT_LONGER, -1, 1);
}

static void test_broken(void)
{
	works_with(FAULT_CUT, -1, 0);
	works_with(FAULT_BUSY, -1, 0);
	works_with(FAULT_REDIRECT, 1, 0);
	CHECK_INT(rig.other_requests, 11);
	works_with(FAULT_LEASE, -1, 0);
	CHECK(rig.requests > 1 && rig.requests < 11);
}

static void fails(enum fault fault, const char *words)
{
	struct error *error = NULL;

	start(fault);
	CHECK_ERROR(fetch(&error), &error, words);
	stop();
	CHECK_INT(rig.wholes, 0);
}

static void test_wrong(void)
{
	fails(FAULT_WRONG_BYTES, "has the digest sha256:");
	fails(FAULT_MISSING, "not there (404)");
	/* It never comes to an end: that many attempts, and no more. */
	fails(FAULT_SHORTER, "received");
}

/* ---- a sink that takes its time ---- */

static void *read_slowly(void *data)
{
	const int fd = *(const int *)data;
	uint8_t *got = xcalloc(1, BLOB_SIZE + 1);
	size_t size = 0;
	ssize_t n;

	while (size <= BLOB_SIZE && (n = read(fd, got + size, 3000)) > 0) {
		const struct timespec pause = { 0, 20000 };

		size += (size_t)n;
		(void)nanosleep(&pause, NULL);
	}
	CHECK_INT(size, BLOB_SIZE);
	return got;
}

static void test_sink(void)
{
	_cleanup_(http_freep) struct http *http = NULL;
	_cleanup_(registry_freep) struct registry *registry = NULL;
	_cleanup_(blob_freep) struct blob *blob = NULL;
	struct blob_setup setup = { .copy_fd = -1, .directory = "/tmp", .range_size = RANGE };
	bool was_full = false;
	struct error *error = NULL;
	int ends[2];
	pthread_t reader;
	void *got;

	start(FAULT_NONE);
	setup.digest = rig.digest;
	setup.size = BLOB_SIZE;
	CHECK_OK(pipe_open(&ends[0], &ends[1], &error), &error);
	CHECK(fcntl(ends[1], F_SETPIPE_SZ, 4096) > 0 && set_nonblocking(ends[1], true) == 0);
	setup.sink_fd = ends[1];
	CHECK(pthread_create(&reader, NULL, read_slowly, &ends[0]) == 0);
	CHECK_OK(http_new(&http, &error), &error);
	registry = open_registry(http);
	blob = blob_start(registry, &setup);
	while (blob_go_on(blob) == FETCH_RUNS) {
		const struct pollfd sink = { .fd = ends[1], .events = POLLOUT };

		was_full = was_full || blob_waits_for_sink(blob);
		http_step(http, &sink, blob_waits_for_sink(blob), 1000);
	}
	CHECK(blob_go_on(blob) == FETCH_DONE && was_full);
	(void)close(ends[1]);
	CHECK(pthread_join(reader, &got) == 0);
	CHECK(memcmp(got, rig.blob, BLOB_SIZE) == 0);
	free(got);
	(void)close(ends[0]);
	stop();
}

/* Its reader is gone. */
static void test_lost_sink(void)
{
	_cleanup_(http_freep) struct http *http = NULL;
	_cleanup_(registry_freep) struct registry *registry = NULL;
	_cleanup_(blob_freep) struct blob *blob = NULL;
	struct blob_setup setup = { .copy_fd = -1, .directory = "/tmp", .range_size = RANGE };
	struct error *error = NULL;
	int ends[2];

	(void)signal(SIGPIPE, SIG_IGN);
	start(FAULT_NONE);
	setup.digest = rig.digest;
	setup.size = BLOB_SIZE;
	CHECK_OK(pipe_open(&ends[0], &ends[1], &error), &error);
	(void)close(ends[0]);
	setup.sink_fd = ends[1];
	CHECK_OK(http_new(&http, &error), &error);
	registry = open_registry(http);
	blob = blob_start(registry, &setup);
	while (blob_go_on(blob) == FETCH_RUNS)
		http_step(http, NULL, 0, 10);
	error = blob_take_error(blob);
	CHECK_ERROR(-1, &error, "what came was not taken");
	blob_free(TAKE_PTR(blob));
	CHECK_INT(registry->n_ranges, 0);
	(void)close(ends[1]);
	stop();
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{ "together", test_together }, { "without", test_without },
		{ "broken", test_broken },     { "wrong", test_wrong },
		{ "sink", test_sink },	       { "lost sink", test_lost_sink },
	};

	return test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
