/* SPDX-License-Identifier: Apache-2.0 */
/* Containers made by the agent: exit codes, error texts, stdio, life cycle. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "tests/unit/agent-rig.h"

static void check_run(struct rig *rig, const char *args, uint32_t code, uint32_t signal)
{
	struct rig_config config = { .args = args };
	struct rig_result result = { 0 };

	rig_run(rig, &config, &result);
	if (result.code != code || result.signal != signal)
		test_fail(__FILE__, __LINE__, "%s ended with %u, signal %u: %s%s", args,
			  result.code, result.signal, result.out, result.err);
	rig_result_done(&result);
}

static void test_exit_codes(void)
{
	struct rig rig;

	rig_start(&rig);
	check_run(&rig, "[\"true\"]", 0, 0);
	check_run(&rig, "[\"/bin/false\"]", 1, 0);
	check_run(&rig, "[\"sh\",\"-c\",\"exit 42\"]", 42, 0);
	check_run(&rig, "[\"sh\",\"-c\",\"nothing-like-this\"]", 127, 0);
	check_run(&rig, "[\"sh\",\"-c\",\"/etc/plain\"]", 126, 0);
	rig_stop(&rig);
}

static void test_killed_by_signal(void)
{
	struct rig_config config = { .args = "[\"sleep\",\"100\"]" };
	struct rig_result result = { 0 };
	struct error *error = NULL;
	struct rig rig;

	rig_start(&rig);
	CHECK_OK(rig_create(&rig, "c", &config, NULL, &error), &error);
	CHECK_OK(rig_start_container(&rig, "c", &error), &error);
	CHECK_ERROR(rig_signal(&rig, "c", 99, false, &error), &error, "not a signal");
	CHECK_OK(rig_signal(&rig, "c", SIGKILL, false, &error), &error);
	rig_wait(&rig, "c", "", &result);
	CHECK_INT(result.code, 128 + SIGKILL);
	CHECK_INT(result.signal, SIGKILL);
	CHECK_ERROR(rig_signal(&rig, "c", SIGTERM, false, &error), &error, "already finished");
	CHECK_OK(rig_delete(&rig, "c", &error), &error);
	CHECK_ERROR(rig_delete(&rig, "c", &error), &error, "does not exist");
	rig_stop(&rig);
}

/* The texts that callers read, and that a failed create leaves nothing. */
static void test_create_errors(void){ static const struct { struct rig_config config;
const char *error;
}
cases[] = {
	{ { .args = "[\"foo\"]" }, "exec: \"foo\": executable file not found in $PATH" },
	{ { .args = "[\"/x\"]" }, "exec: \"/x\": stat /x: no such file or directory" },
	{ { .args = "[\"/etc/plain\"]" }, "exec: \"/etc/plain\": permission denied" },
	{ { .args = "[\"/etc\"]" }, "exec: \"/etc\": permission denied" },
	{ { .args = "[\"/etc/plain/x\"]" },
	  "exec: \"/etc/plain/x\": stat /etc/plain/x: not a directory" },
	{ { .args = "[\"true\"]", .cwd = "/etc/plain" }, "not a directory" },
	{ { .args = "[\"true\"]",
	    .namespaces = "[{\"type\":\"mount\"},{\"type\":\"ipc\",\"path\":\"/proc/1/ns/"
			  "ipc\"},{\"type\":\"uts\"}]" },
	  "joining the ipc namespace" },
	{ { .args = "[\"true\"]",
	    .mounts = "{\"destination\":\"/m\",\"type\":\"bind\",\"source\":\"/\"}" },
	  "mount /m: the host passed no source for the bind" },
	{ { .args = "[\"true\"]",
	    .mounts = "{\"destination\":\"/m\",\"type\":\"nofs\",\"source\":\"nofs\"}" },
	  "error mounting \"nofs\" to rootfs at \"/m\": no such device" },
	{ { .args = "[\"true\"]", .linux_ = "\"cgroupsPath\":\"/../x\"" }, "must not contain .." },
	{ { .args = "[\"true\"]",
	    .linux_ = "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{"
		      "\"names\":[\"read\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}" },
#ifdef HAVE_SECCOMP
	  "SCMP_ACT_NOTIFY is not supported" },
#else
	  "seccomp not supported by this build" },
#endif
	{ { .args = "[\"true\"]", .linux_ = "\"sysctl\":{\"no.such\":\"1\"}" }, "sysctl no.such" },
};
struct rig_config good = { .args = "[\"true\"]" };
struct rig_result result = { 0 };
struct error *error = NULL;
struct rig rig;

rig_start(&rig);
for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
	CHECK_ERROR(rig_create(&rig, "run", &cases[i].config, NULL, &error), &error,
		    cases[i].error);
/* the id is free again */
rig_run(&rig, &good, &result);
CHECK_INT(result.code, 0);
rig_result_done(&result);
CHECK_ERROR(rig_create(&rig, "a/b", &good, NULL, &error), &error, "invalid container id");
CHECK_OK(rig_create(&rig, "twice", &good, NULL, &error), &error);
CHECK_ERROR(rig_create(&rig, "twice", &good, NULL, &error), &error, "already exists");
CHECK_OK(rig_delete(&rig, "twice", &error), &error);
rig_stop(&rig);
}

/* What only execve can tell is an error of start. */
static void test_start_errors(void)
{
	struct rig_config config = { .args = "[\"/bin/badscript\"]" };
	struct rig_config junk = { .args = "[\"/bin/junk\"]" };
	struct rig_config hook = {
		.args = "[\"true\"]",
		.top = "\"hooks\":{\"startContainer\":[{\"path\":\"/bin/false\"}]}",
	};
	struct rig_result result = { 0 };
	struct error *error = NULL;
	struct rig rig;

	rig_start(&rig);
	CHECK_OK(rig_create(&rig, "a", &config, NULL, &error), &error);
	CHECK_ERROR(rig_start_container(&rig, "a", &error), &error,
		    "exec /bin/badscript: no such file or directory");
	rig_wait(&rig, "a", "", &result);
	CHECK_INT(result.code, 1);
	CHECK_ERROR(rig_start_container(&rig, "a", &error), &error, "stopped");
	CHECK_OK(rig_delete(&rig, "a", &error), &error);
	CHECK_OK(rig_create(&rig, "b", &junk, NULL, &error), &error);
	CHECK_ERROR(rig_start_container(&rig, "b", &error), &error,
		    "exec /bin/junk: exec format error");
	CHECK_OK(rig_delete(&rig, "b", &error), &error);
	CHECK_OK(rig_create(&rig, "c", &hook, NULL, &error), &error);
	CHECK_ERROR(rig_start_container(&rig, "c", &error), &error,
		    "error running hook /bin/false: exit status 1");
	CHECK_OK(rig_delete(&rig, "c", &error), &error);
	rig_stop(&rig);
}

static void test_hook_gets_state(void)
{
	struct rig_config config = {
		.top =
		    "\"hooks\":{\"startContainer\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\","
		    "\"cat >/tmp/state; echo $X >>/tmp/state\"],\"env\":[\"X=from-env\"]}]},"
		    "\"annotations\":{\"k\":\"v\"}",
	};
	_cleanup_free_ char *out = NULL;
	struct rig rig;

	rig_start(&rig);
	out = rig_shell(&rig, &config, "cat /tmp/state");
	CHECK(strstr(out, "\"id\":\"run\""));
	CHECK(strstr(out, "\"status\":\"created\""));
	CHECK(strstr(out, "\"pid\":1,"));
	CHECK(strstr(out, "\"bundle\":\"/bundle\""));
	CHECK(strstr(out, "\"k\":\"v\""));
	CHECK(strstr(out, "from-env"));
	rig_stop(&rig);
}

static void test_stdio(void)
{
	struct rig_config config = { .args = "[\"sh\",\"-c\",\"cat; echo done >&2\"]" };
	_cleanup_free_ char *out = NULL;
	_cleanup_free_ char *err = NULL;
	struct rig_result result = { 0 };
	struct error *error = NULL;
	struct rig_io io;
	struct rig rig;

	rig_start(&rig);
	CHECK_OK(rig_create(&rig, "c", &config, &io, &error), &error);
	CHECK(write_all(io.in, "early ", 6) == 0);
	CHECK_OK(rig_start_container(&rig, "c", &error), &error);
	CHECK(write_all(io.in, "late", 4) == 0);
	CHECK(shutdown(io.in, SHUT_WR) == 0);
	out = rig_read(io.out, NULL);
	err = rig_read(io.err, NULL);
	CHECK_STRING(out, "early late");
	CHECK_STRING(err, "done\n");
	rig_wait(&rig, "c", "", &result);
	CHECK_INT(result.code, 0);
	CHECK_OK(rig_delete(&rig, "c", &error), &error);
	rig_stop(&rig);
}

/* 100 MB through one stream, while another is not read at all. */
static void test_much_output(void)
{
	struct rig_config config = {
		.args =
		    "[\"sh\",\"-c\",\"yes >&2 & dd if=/dev/zero bs=1000000 count=100 2>/dev/null"
		    "; kill $!\"]",
	};
	static char chunk[1 << 16];
	struct rig_result result = { 0 };
	struct error *error = NULL;
	size_t total = 0;
	struct rig_io io;
	struct rig rig;
	ssize_t n;

	rig_start(&rig);
	CHECK_OK(rig_create(&rig, "c", &config, &io, &error), &error);
	CHECK_OK(rig_start_container(&rig, "c", &error), &error);
	while ((n = read(io.out, chunk, sizeof(chunk))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			CHECK(chunk[i] == 0);
		total += (size_t)n;
	}
	CHECK_INT(total, 100000000);
	rig_wait(&rig, "c", "", &result);
	CHECK_INT(result.code, 0);
	CHECK_OK(rig_delete(&rig, "c", &error), &error);
	rig_stop(&rig);
}

/* What is written when the host has left is a broken pipe, as for any other reader. */
static void test_reader_leaves(void)
{
	struct rig_config config = { .args = "[\"sh\",\"-c\",\"read x; exit 3\"]" };
	struct rig_result result = { 0 };
	struct error *error = NULL;
	struct rig_io io, out, err;
	struct rig rig;

	rig_start(&rig);
	CHECK_OK(rig_create(&rig, "c", &config, &io, &error), &error);
	CHECK_OK(rig_start_container(&rig, "c", &error), &error);
	CHECK_OK(
	    rig_exec(&rig, "c", "out", "{\"args\":[\"/bin/yes\"],\"cwd\":\"/\"}", &out, &error),
	    &error);
	CHECK_OK(rig_exec(&rig, "c", "err",
			  "{\"args\":[\"/bin/sh\",\"-c\",\"exec /bin/yes >&2\"],\"cwd\":\"/\"}",
			  &err, &error),
		 &error);
	CHECK(read(out.out, (char[1]){ 0 }, 1) == 1);
	close_fdp(&out.out);
	rig_wait(&rig, "c", "out", &result);
	CHECK_INT(result.signal, SIGPIPE);
	close_fdp(&err.err);
	rig_wait(&rig, "c", "err", &result);
	CHECK_INT(result.signal, SIGPIPE);
	/* Each stream for itself, and each process. */
	CHECK(write_all(io.in, "\n", 1) == 0);
	rig_wait(&rig, "c", "", &result);
	CHECK_INT(result.code, 3);
	CHECK_OK(rig_delete(&rig, "c", &error), &error);
	rig_stop(&rig);
}

/* The first write already fails, however long the process was silent. */
static void test_reader_of_nothing_leaves(void)
{
	struct rig_config config = {
		.args = "[\"sh\",\"-c\",\"read x; echo y || exit 7\"]",
	};
	struct rig_result result = { 0 };
	struct error *error = NULL;
	struct rig_io io;
	struct rig rig;

	rig_start(&rig);
	CHECK_OK(rig_create(&rig, "c", &config, &io, &error), &error);
	CHECK_OK(rig_start_container(&rig, "c", &error), &error);
	close_fdp(&io.out);
	(void)usleep(500000); /* the way to the guest */
	CHECK(write_all(io.in, "\n", 1) == 0);
	rig_wait(&rig, "c", "", &result);
	CHECK_INT(result.code, 7);
	CHECK_OK(rig_delete(&rig, "c", &error), &error);
	rig_stop(&rig);
}

/* /dev/stdout can be opened anew, also by an ordinary user. */
static void test_reopen_stdout(void)
{
	struct rig_config config = { .user = "{\"uid\":1000,\"gid\":1000}" };
	_cleanup_free_ char *out = NULL;
	struct rig rig;

	rig_start(&rig);
	out = rig_shell(&rig, &config, "echo again >/dev/stdout; echo $HOME; id -u; id -G");
	CHECK_STRING(out, "again\n/home/user\n1000\n1000\n");
	rig_stop(&rig);
}

static void test_terminal(void)
{
	struct rig_config config = {
		.args = "[\"sh\",\"-c\",\"stty size; tty; test -t 0 && test -t 2 && echo all; "
			"[ /dev/console -ef $(tty) ] && echo console; read x; echo got $x; "
			"stty size\"]",
		.process = "\"terminal\":true",
	};
	Agent__ResizeRequest resize = AGENT__RESIZE_REQUEST__INIT;
	char before[256] = "";
	_cleanup_free_ char *out = NULL;
	struct rig_result result = { 0 };
	struct error *error = NULL;
	struct rig_io io;
	struct rig rig;

	rig_start(&rig);
	CHECK_OK(rig_create(&rig, "c", &config, &io, &error), &error);
	resize.id = (char *)"c";
	CHECK_OK(rig_start_container(&rig, "c", &error), &error);
	while (!strstr(before, "console\r\n")) {
		size_t length = strlen(before);
		ssize_t n = read(io.out, before + length, sizeof(before) - 1 - length);

		CHECK(n > 0);
	}
	CHECK_STRING(before, "25 80\r\n/dev/pts/0\r\nall\r\nconsole\r\n");
	resize.width = 132;
	resize.height = 43;
	CHECK_OK(rig_call(&rig, "Resize", &resize, NULL, NULL, &error), &error);
	CHECK(write_all(io.out, "hello\n", 6) == 0);
	out = rig_read(io.out, NULL);
	CHECK(strstr(out, "got hello\r\n43 132\r\n"));
	rig_wait(&rig, "c", "", &result);
	CHECK_INT(result.code, 0);
	CHECK_OK(rig_delete(&rig, "c", &error), &error);
	rig_stop(&rig);
}

static void test_resize_without_terminal(void)
{
	struct rig_config config = { .args = "[\"sleep\",\"1000\"]" };
	Agent__ResizeRequest resize = AGENT__RESIZE_REQUEST__INIT;
	struct rig_result result = { 0 };
	struct error *error = NULL;
	struct rig_io io;
	struct rig rig;

	rig_start(&rig);
	CHECK_OK(rig_create(&rig, "c", &config, &io, &error), &error);
	CHECK_OK(rig_start_container(&rig, "c", &error), &error);
	resize.id = (char *)"c";
	CHECK_ERROR(rig_call(&rig, "Resize", &resize, NULL, NULL, &error), &error,
		    "the process has no terminal");
	CHECK_OK(rig_signal(&rig, "c", SIGKILL, false, &error), &error);
	rig_wait(&rig, "c", "", &result);
	CHECK_OK(rig_delete(&rig, "c", &error), &error);
	rig_stop(&rig);
}

/* The end of the host's input is not the terminal's; the end of the stream is. */
static void test_terminal_hangs_up(void)
{
	struct rig_config config = {
		.args = "[\"sh\",\"-c\",\"trap 'exit 9' HUP; echo ready; "
			"while :; do sleep 0.1; done\"]",
		.process = "\"terminal\":true",
	};
	struct rig_result result = { 0 };
	struct error *error = NULL;
	char text[64] = "";
	struct rig_io io, yes;
	struct rig rig;

	rig_start(&rig);
	CHECK_OK(rig_create(&rig, "c", &config, &io, &error), &error);
	CHECK_OK(rig_start_container(&rig, "c", &error), &error);
	CHECK_OK(rig_exec(&rig, "c", "e",
			  "{\"args\":[\"/bin/yes\"],\"cwd\":\"/\",\"terminal\":true}", &yes,
			  &error),
		 &error);
	CHECK(shutdown(io.out, SHUT_WR) == 0);
	for (size_t n = 0; !strstr(text, "ready"); n = strlen(text))
		CHECK(read(io.out, text + n, sizeof(text) - 1 - n) > 0);
	(void)usleep(300000);
	CHECK_OK(rig_signal(&rig, "c", 0, false, &error), &error);
	/* One that writes, and one that is silent. */
	CHECK(read(yes.out, (char[1]){ 0 }, 1) == 1);
	close_fdp(&yes.out);
	rig_wait(&rig, "c", "e", &result);
	CHECK_INT(result.signal, SIGHUP);
	close_fdp(&io.out);
	rig_wait(&rig, "c", "", &result);
	CHECK_INT(result.code, 9);
	CHECK_OK(rig_delete(&rig, "c", &error), &error);
	rig_stop(&rig);
}

/* Of the agent, or of the VMM. */
static int count_descriptors(const struct rig *rig)
{
	_cleanup_free_ char *command = xasprintf("ls /proc/%d/fd | wc -l", (int)rig->pid);
	FILE *pipe = popen(command, "r");
	int count = 0;

	CHECK(pipe && fscanf(pipe, "%d", &count) == 1);
	(void)pclose(pipe);
	return count;
}

/* Neither may grow, but for a stream that is just being closed. */
static void test_many_cycles(void)
{
	struct rig_config config = { .args = "[\"true\"]" };
	struct rig_result result = { 0 };
	int before = 0, after;
	struct rig rig;

	rig_start(&rig);
	for (int i = 0; i < 22; i++) {
		rig_run(&rig, &config, &result);
		rig_result_done(&result);
		if (i == 1)
			before = count_descriptors(&rig);
	}
	for (int i = 0; (after = count_descriptors(&rig)) > before && i < 100; i++)
		(void)usleep(100000);
	if (after > before)
		test_fail(__FILE__, __LINE__, "%d descriptors became %d", before, after);
	rig_stop(&rig);
}

static const struct test_case cases[] = {
	{ "exit codes", test_exit_codes },
	{ "killed by a signal", test_killed_by_signal },
	{ "errors of create", test_create_errors },
	{ "errors of start", test_start_errors },
	{ "a hook gets the state", test_hook_gets_state },
	{ "stdio", test_stdio },
	{ "much output", test_much_output },
	{ "reader leaves", test_reader_leaves },
	{ "reader of nothing leaves", test_reader_of_nothing_leaves },
	{ "stdout opened anew", test_reopen_stdout },
	{ "terminal", test_terminal },
	{ "resize without a terminal", test_resize_without_terminal },
	{ "terminal hangs up", test_terminal_hangs_up },
	{ "many cycles", test_many_cycles },
};
RIG_MAIN(cases)
