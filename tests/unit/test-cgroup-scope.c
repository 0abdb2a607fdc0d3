/* SPDX-License-Identifier: Apache-2.0 */
/* systemd's side of a scope, by a child that plays it. (The real one: lab test cgroup/systemd.) */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "host/cgroup-scope.h"
#include "tests/unit/test.h"

#define WORDS_MAX 4096

static char place[] = "/tmp/test-cgroup-scope.XXXXXX";

/* A message without fields but for padding: a header says how long the rest is. */
static void send_message(int fd, uint8_t type, const char *fields, const char *body)
{
	const uint32_t fields_size = (uint32_t)strlen(fields), body_size = (uint32_t)strlen(body);
	const uint32_t length = body_size ? body_size + 4 : 0, serial = 7;
	uint8_t header[16] = { 'l', type, 0, 1 };

	memcpy(header + 4, &length, 4);
	memcpy(header + 8, &serial, 4);
	memcpy(header + 12, &fields_size, 4);
	CHECK(write_all(fd, header, sizeof(header)) == 0);
	CHECK(write_all(fd, fields, fields_size) == 0);
	CHECK(write_all(fd, "\0\0\0\0\0\0\0", (8 - fields_size % 8) % 8) == 0);
	if (length)
		CHECK(write_all(fd, &body_size, 4) == 0 && write_all(fd, body, body_size) == 0);
}

static void expect_words(int fd, const char *words)
{
	char got[WORDS_MAX];
	const size_t size = strlen(words);

	CHECK(read_all(fd, got, size) == (ssize_t)size);
	CHECK(memcmp(got, words, size) == 0);
}

static bool has(const uint8_t *message, size_t size, const char *text)
{
	return memmem(message, size, text, strlen(text) + 1) != NULL;
}

static void check_change(const uint8_t *message, size_t size)
{
	CHECK(has(message, size, "SetUnitProperties"));
	CHECK(has(message, size, "lab-c1.scope"));
	CHECK(has(message, size, "CPUQuotaPerSecUSec"));
	CHECK(has(message, size, "CPUQuotaPeriodUSec"));
	CHECK(!has(message, size, "Slice") && !has(message, size, "MemoryMax"));
}

static void check_call(int fd, bool change)
{
	uint8_t message[WORDS_MAX];
	const ssize_t size = recv(fd, message, sizeof(message), 0);
	uint32_t body, fields;

	CHECK(size > 16);
	memcpy(&body, message + 4, 4);
	memcpy(&fields, message + 12, 4);
	CHECK_INT(size, 16 + ((fields + 7) & ~7u) + body);
	if (change) {
		check_change(message, (size_t)size);
		return;
	}
	CHECK(has(message, (size_t)size, "StartTransientUnit"));
	CHECK(has(message, (size_t)size, "lab-c1.scope"));
	CHECK(has(message, (size_t)size, "lab.slice"));
	CHECK(has(message, (size_t)size, "MemoryMax"));
	/* What is not given is not said. */
	CHECK(!has(message, (size_t)size, "TasksMax"));
}

enum behaviour { AGREES, AGREES_TO_CHANGE, REFUSES, HAS_IT, BABBLES, HANGS_UP, NOT_US };

static void play(int listener, enum behaviour behaviour)
{
	const int fd = accept(listener, NULL, NULL);
	_cleanup_free_ char *user = xasprintf("%u", geteuid());
	char digit[3];

	CHECK(fd >= 0);
	CHECK(read_all(fd, digit, 1) == 1 && digit[0] == '\0');
	expect_words(fd, "AUTH EXTERNAL ");
	for (const char *at = user; *at; at++) {
		CHECK(read_all(fd, digit, 2) == 2);
		CHECK(digit[0] == '3' && digit[1] == *at);
	}
	expect_words(fd, "\r\n");
	if (behaviour == NOT_US) {
		CHECK(write_all(fd, "REJECTED\r\n", 10) == 0);
		_exit(0);
	}
	CHECK(write_all(fd, "OK 0123\r\n", 9) == 0);
	expect_words(fd, "BEGIN\r\n");
	check_call(fd, behaviour == AGREES_TO_CHANGE);
	send_message(fd, 4, "JobNew", "a signal");
	if (behaviour == AGREES || behaviour == AGREES_TO_CHANGE)
		send_message(fd, 2, "", "/org/freedesktop/systemd1/job/1");
	else if (behaviour == REFUSES)
		send_message(fd, 3, "org.freedesktop.DBus.Error.AccessDenied", "not for you");
	else if (behaviour == HAS_IT)
		send_message(fd, 3, "org.freedesktop.systemd1.UnitExists", "it is there");
	else if (behaviour == BABBLES)
		CHECK(write_all(fd, "lxxxxxxxxxxxxxxxxxxxxxxxxxxx", 28) == 0);
	_exit(0);
}

static int start(enum behaviour behaviour, struct error **ret_error)
{
	const struct cgroup_scope scope = {
		.slice = "lab.slice", .name = "lab-c1.scope", .pid = 1, .memory_max = 4096
	};
	const struct cgroup_scope change = { .name = "lab-c1.scope",
					     .cpu_us_per_s = UINT64_MAX,
					     .period_us = 100000 };
	_cleanup_free_ char *path = NULL;
	struct error *error = NULL;
	int listener, result, status;
	pid_t pid;

	(void)strcpy(place + strlen(place) - 6, "XXXXXX");
	CHECK(mkdtemp(place));
	path = xasprintf("%s/private", place);
	listener = unix_listen(path, 0600, &error);
	CHECK(listener >= 0);
	pid = fork();
	if (pid == 0)
		play(listener, behaviour);
	result = behaviour == AGREES_TO_CHANGE ? cgroup_scope_set(path, &change, ret_error)
					       : cgroup_scope_start(path, &scope, ret_error);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	(void)close(listener);
	CHECK_OK(remove_tree(place, &error), &error);
	return result;
}

static void test_agrees(void)
{
	struct error *error = NULL;

	CHECK_OK(start(AGREES, &error), &error);
	CHECK_OK(start(AGREES_TO_CHANGE, &error), &error);
}

static void test_refuses(void)
{
	struct error *error = NULL;

	CHECK_ERROR(start(REFUSES, &error), &error, "systemd refuses the scope: not for you");
	CHECK(start(HAS_IT, &error) < 0);
	CHECK_INT(error->code, EEXIST);
	CHECK_ERROR(-1, &error, "it is there");
	CHECK_ERROR(start(NOT_US, &error), &error, "does not take us for user");
}

static void test_breaks(void)
{
	struct error *error = NULL;
	const struct cgroup_scope scope = { .slice = "", .name = "x.scope" };

	CHECK_ERROR(start(HANGS_UP, &error), &error, "systemd does not answer");
	CHECK_ERROR(start(BABBLES, &error), &error, "unexpected message from systemd");
	CHECK_ERROR(cgroup_scope_start("/nowhere/private", &scope, &error), &error,
		    "cannot ask systemd for a scope");
}

static const struct test_case cases[] = {
	{ "agrees", test_agrees },
	{ "refuses", test_refuses },
	{ "breaks", test_breaks },
};
TEST_MAIN(cases)
