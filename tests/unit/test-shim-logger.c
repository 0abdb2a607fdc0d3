/* SPDX-License-Identifier: Apache-2.0 */
/* Stdio by "binary://" and "file://": a task's output in other hands. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "tests/unit/shim-rig.h"

/* A running container, and a directory for what the loggers write. */
static void start(struct rig *rig)
{
	rig_init(rig);
	rig_start(rig);
	(void)rig_run(rig, &(struct rig_config){ 0 }, NULL);
}

/* The program DIRECTORY/logger; its argument "dir" is $2. */
static void write_logger(const struct rig *rig, const char *script)
{
	_cleanup_free_ char *path = xasprintf("%s/logger", rig->directory);
	_cleanup_free_ char *text = xasprintf("#!/bin/sh\n%s\n", script);
	struct error *error = NULL;

	CHECK_OK(write_file_atomic(path, text, strlen(text), 0700, &error), &error);
}

static char *logger_uri(const struct rig *rig, const char *more)
{
	return xasprintf("binary://%s/logger?dir=%s%s", rig->directory, rig->directory, more);
}

static char *written(const struct rig *rig, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", rig->directory, name);
	struct error *error = NULL;
	char *text;

	CHECK_OK(read_file(path, 64 << 20, &text, NULL, &error), &error);
	return text;
}

static int make_exec(struct rig *rig, const char *exec_id, const char *script,
		     const char *const names[3], struct error **ret_error)
{
	_cleanup_free_ char *process =
	    xasprintf("{\"args\":[\"sh\",\"-c\",\"%s\"],\"cwd\":\"/\",\"terminal\":false}", script);
	Task__ExecProcessRequest exec = TASK__EXEC_PROCESS_REQUEST__INIT;
	Task__Any any = TASK__ANY__INIT;
	void *response;

	any.value.data = (uint8_t *)process;
	any.value.len = strlen(process);
	exec.id = (char *)RIG_ID;
	exec.exec_id = (char *)exec_id;
	exec.stdin = (char *)names[0];
	exec.stdout = (char *)names[1];
	exec.stderr = (char *)names[2];
	exec.spec = &any;
	response = rig_call(rig, "Exec", &exec.base, &task__empty__descriptor, NULL, 0, ret_error);
	rig_free(response);
	return response ? 0 : -1;
}

/* Runs the exec to its end. */
static void run_exec(struct rig *rig, const char *exec_id, const char *script,
		     const char *const names[3])
{
	struct error *error = NULL;

	CHECK_OK(make_exec(rig, exec_id, script, names, &error), &error);
	CHECK_OK(rig_start_task(rig, exec_id, &error), &error);
	CHECK_INT(rig_wait(rig, exec_id, &error), 0);
}

/* No logger, running or dead, is the server's child any more: at the latest when it has
 * been reaped, which the end of the exec does not wait for. */
static void check_no_child(const struct rig *rig)
{
	_cleanup_free_ char *path =
	    xasprintf("/proc/%d/task/%d/children", rig->server, rig->server);

	for (int tries = 0;; tries++) {
		struct error *error = NULL;
		_cleanup_free_ char *text = NULL;

		CHECK_OK(read_file(path, 4096, &text, NULL, &error), &error);
		if (text[0] == '\0')
			return;
		if (tries == 1000)
			test_fail(__FILE__, __LINE__, "still a child after 10 s: %s", text);
		(void)usleep(10000);
	}
}

static void test_output(void)
{
	_cleanup_free_ char *uri = NULL;
	_cleanup_free_ char *out = NULL;
	_cleanup_free_ char *err = NULL;
	_cleanup_free_ char *arguments = NULL;
	_cleanup_free_ char *environment = NULL;
	_cleanup_free_ char *wanted = NULL;
	struct rig rig;

	start(&rig);
	write_logger(&rig, "tr '\\0' '\\n' </proc/$$/environ | sort >$2/environment\n"
			   "printf '%s|' \"$@\" >$2/arguments\n"
			   "exec 5>&-\n"
			   "cat <&4 >$2/err &\n"
			   "cat <&3 >$2/out\n"
			   "wait");
	uri = logger_uri(&rig, "&max%2dsize=1+MB&flag&dir=second&&empty=#fragment");
	run_exec(&rig, "e", "echo complaint >&2; yes 0123456789 | head -c 5000000",
		 (const char *const[]){ "", uri, uri });
	/* All of it is there when the exec has ended. */
	out = written(&rig, "out");
	CHECK_INT(strlen(out), 5000000);
	for (size_t i = 0; i < 5000000; i++)
		if (out[i] != "0123456789\n"[i % 11])
			test_fail(__FILE__, __LINE__, "byte %zu differs", i);
	err = written(&rig, "err");
	CHECK_STRING(err, "complaint\n");
	arguments = written(&rig, "arguments");
	wanted = xasprintf("dir|%s|max-size|1 MB|flag||empty||", rig.directory);
	CHECK_STRING(arguments, wanted);
	environment = written(&rig, "environment");
	CHECK_STRING(environment, "CONTAINER_ID=e\nCONTAINER_NAMESPACE=default\n");
	check_no_child(&rig);
	rig_done(&rig);
}

/* The process does not start before its logger is ready. */
static void test_ready(void)
{
	_cleanup_free_ char *uri = NULL;
	_cleanup_free_ char *out = NULL;
	_cleanup_free_ char *script = NULL;
	struct rig rig;

	start(&rig);
	write_logger(&rig, "sleep 0.5; touch $2/ready\n"
			   "printf x >&5\n"
			   "cat <&3 >$2/out");
	uri = logger_uri(&rig, "");
	script = xasprintf("test -e %s/ready; echo $?", rig.directory);
	run_exec(&rig, "e", script, (const char *const[]){ "", uri, "" });
	out = written(&rig, "out");
	CHECK_STRING(out, "0\n");
	rig_done(&rig);
}

/* One that does not care for the end of its input is told by SIGTERM. */
static void test_sigterm(void)
{
	_cleanup_free_ char *uri = NULL;
	_cleanup_free_ char *end = NULL;
	struct error *error = NULL;
	struct rig rig;

	start(&rig);
	write_logger(&rig, "trap 'echo told >$2/end; exit 0' TERM\n"
			   "exec 5>&-\n"
			   "while :; do sleep 0.1; done");
	uri = logger_uri(&rig, "");
	run_exec(&rig, "e", "true", (const char *const[]){ "", uri, uri });
	end = written(&rig, "end");
	CHECK_STRING(end, "told\n");
	check_no_child(&rig);
	CHECK_INT(rig_delete(&rig, "e", &error), 0);
	rig_done(&rig);
}

/* A logger that dies is the process's broken pipe; one of an exec that is never
 * started goes with it. */
static void test_deaths(void)
{
	_cleanup_free_ char *uri = NULL;
	struct error *error = NULL;
	struct rig rig;
	int status;

	start(&rig);
	write_logger(&rig, "exit 3");
	uri = logger_uri(&rig, "");
	CHECK_OK(make_exec(&rig, "e", "exec yes", (const char *const[]){ "", uri, "" }, &error),
		 &error);
	CHECK_OK(rig_start_task(&rig, "e", &error), &error);
	/* Where output was on its way, it is a reset that "yes" sees, and complains of. */
	status = rig_wait(&rig, "e", &error);
	CHECK(status == 128 + SIGPIPE || status == 1);
	write_logger(&rig, "trap '' TERM; while :; do sleep 1; done");
	CHECK_OK(make_exec(&rig, "idle", "true", (const char *const[]){ "", uri, "" }, &error),
		 &error);
	CHECK_INT(rig_delete(&rig, "idle", &error), 0);
	check_no_child(&rig);
	rig_done(&rig);
}

static void test_refused(void)
{
	static const struct {
		const char *out, *err, *error;
	} names[] = {
		{ "binary:///nonexistent/logger", "", "cannot run the logging program /nonexist" },
		{ "binary:///etc/passwd", "", "Permission denied" },
		{ "binary://host/path", "", "not of the form binary:///path" },
		{ "binary:///bin/%zz", "", "not of the form" },
		{ "binary:///bin/%00", "", "not of the form" },
		{ "binary:///bin/true?a=%4", "", "its query cannot be read" },
		{ "binary:///bin/true", "/dev/null", "takes stdout and stderr" },
		{ "", "binary:///bin/true", "is not supported" },
		{ "gopher:///x", "", "is not supported" },
	};
	struct error *error = NULL;
	struct rig rig;

	start(&rig);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		CHECK_ERROR(make_exec(&rig, "e", "true",
				      (const char *const[]){ "", names[i].out, names[i].err },
				      &error),
			    &error, names[i].error);
	check_no_child(&rig);
	rig_done(&rig);
}

static void test_file(void)
{
	_cleanup_free_ char *uri = NULL;
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char *text = NULL;
	struct rig rig;
	struct stat st;

	start(&rig);
	(void)umask(022);
	path = xasprintf("%s/new/dir/log", rig.directory);
	uri = xasprintf("file://%s", path);
	run_exec(&rig, "a", "echo one; echo two >&2", (const char *const[]){ "", uri, uri });
	run_exec(&rig, "b", "echo three", (const char *const[]){ "", uri, "" });
	text = written(&rig, "new/dir/log");
	CHECK(strcmp(text, "one\ntwo\nthree\n") == 0 || strcmp(text, "two\none\nthree\n") == 0);
	CHECK(stat(path, &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0644);
	rig_done(&rig);
}

static const struct test_case cases[] = {
	{ "output", test_output }, { "ready", test_ready },	{ "sigterm", test_sigterm },
	{ "deaths", test_deaths }, { "refused", test_refused }, { "file", test_file },
};

TEST_MAIN(cases)
