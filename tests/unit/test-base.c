/* SPDX-License-Identifier: Apache-2.0 */
/* base: errors, allocation, buffers, checked arithmetic, files, unix sockets. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/capture.h"
#include "base/checked.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/daemon.h"
#include "base/fnv.h"
#include "base/hex.h"
#include "base/io.h"
#include "base/log.h"
#include "base/plain.h"
#include "base/paths.h"
#include "tests/unit/test.h"

static void test_error(void)
{
	_cleanup_error_ struct error *error = NULL;

	CHECK_INT(error_set_errno(&error, ENOENT, "cannot open %s", "x"), -1);
	CHECK_INT(error->code, ENOENT);
	CHECK_STRING(error->message, "cannot open x: No such file or directory");
	CHECK_INT(error_wrap(&error, "container %d", 3), -1);
	CHECK_STRING(error->message, "container 3: cannot open x: No such file or directory");
	CHECK_INT(error_set(NULL, EINVAL, "nobody listens"), -1);
}

static void test_buffer(void)
{
	struct buffer buffer = { 0 };
	uint8_t expected = 0;

	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 37; i++) {
			uint8_t byte = (uint8_t)(round * 37 + i);

			buffer_append(&buffer, &byte, 1);
		}
		while (buffer_length(&buffer) > 20) {
			CHECK_INT(*buffer_data(&buffer), expected++);
			buffer_consume(&buffer, 1);
		}
	}
	CHECK_INT(buffer_length(&buffer), 20);
	buffer_done(&buffer);
	CHECK_INT(buffer_length(&buffer), 0);
}

static void test_checked(void)
{
	uint64_t sum;
	uint32_t product;

	CHECK(checked_add(UINT64_MAX, 1, &sum));
	CHECK(!checked_add(UINT64_MAX - 1, 1, &sum));
	CHECK(sum == UINT64_MAX);
	CHECK(checked_mul(65536u, 65536u, &product));
	CHECK(checked_sub(1u, 2u, &product));
}

static char *temporary_directory(void)
{
	char *path = xstrdup("/tmp/test-base.XXXXXX");

	CHECK(mkdtemp(path));
	return path;
}

static void test_files(void)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *directory = temporary_directory();
	_cleanup_free_ char *deep = xasprintf("%s/a/b/c", directory);
	_cleanup_free_ char *file = xasprintf("%s/f", deep);
	_cleanup_free_ char *fifo = xasprintf("%s/fifo", deep), *link = xasprintf("%s/l", deep);
	_cleanup_free_ char *text = NULL;
	size_t size;
	struct stat st;

	CHECK_OK(make_directories(deep, 0700, &error), &error);
	CHECK_OK(make_directories(deep, 0700, &error), &error);
	CHECK_OK(write_file_atomic(file, "hello", 5, 0640, &error), &error);
	CHECK_OK(read_file(file, 5, &text, &size, &error), &error);
	CHECK_INT(size, 5);
	CHECK_STRING(text, "hello");
	CHECK(stat(file, &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0640);
	CHECK_ERROR(read_file(file, 4, &text, &size, &error), &error, "larger than 4 bytes");
	/* Of what is not a regular file nothing is read, nor waited for. */
	CHECK(mkfifo(fifo, 0600) == 0 && symlink("f", link) == 0);
	CHECK_ERROR(read_regular_file(fifo, 5, &text, NULL, &error), &error, "not a regular file");
	CHECK_ERROR(read_regular_file(link, 5, &text, NULL, &error), &error, "cannot open");
	CHECK(!directory_is_empty(AT_FDCWD, deep) && !directory_is_empty(AT_FDCWD, file));
	CHECK(unlink(fifo) == 0 && unlink(link) == 0);
	CHECK_ERROR(make_directories(file, 0700, &error) == 0
			? read_file(deep, 9, &text, NULL, &error)
			: -1,
		    &error, "cannot");
	CHECK_OK(remove_tree(directory, &error), &error);
	CHECK(access(directory, F_OK) < 0);
	CHECK_OK(remove_tree(directory, &error), &error);
}

static void test_copy_bytes(void)
{
	_cleanup_close_ int from = memfd_create("from", MFD_CLOEXEC);
	_cleanup_close_ int to = memfd_create("to", MFD_CLOEXEC);
	char text[16] = "";
	off_t at = 2;

	CHECK(write_all(from, "0123456789", 10) == 0 && lseek(from, 8, SEEK_SET) == 8);
	CHECK_INT(copy_bytes(from, &at, to, 3), 3);
	CHECK_INT(at, 5);
	/* From where it stands, and no further than its end. */
	CHECK_INT(copy_bytes(from, NULL, to, SSIZE_MAX), 2);
	CHECK_INT(copy_bytes(from, NULL, to, 1), 0);
	CHECK_INT(pread(to, text, sizeof(text), 0), 5);
	CHECK_STRING(text, "23489");
	CHECK_INT(copy_bytes(from, &at, -1, 1), -1);
	CHECK_INT(errno, EBADF);
}

/* Each directory in the one before, with a file beside it. */
static void make_deep(const char *top, unsigned depth)
{
	int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (unsigned i = 0; i < depth; i++) {
		int child;

		CHECK(mkdirat(fd, "d", 0700) == 0);
		CHECK(symlinkat("nowhere", fd, "l") == 0);
		child = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		CHECK(child >= 0 && close(fd) == 0);
		fd = child;
	}
	CHECK(close(fd) == 0);
}

/* A guest makes its trees as deep as it likes, deeper than there are descriptors, or names long
 * enough. */
static void test_remove_deep(void)
{
	_cleanup_free_ char *directory = temporary_directory();
	struct error *error = NULL;
	struct rlimit limit, few;

	make_deep(directory, 3000);
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	few = (struct rlimit){ 64, limit.rlim_max };
	CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
	CHECK_OK(remove_tree(directory, &error), &error);
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(access(directory, F_OK) < 0);
}

static void *remove_it(void *data)
{
	struct error *error = NULL;

	CHECK_OK(remove_tree(data, &error), &error);
	return NULL;
}

/* Others may remove it, or parts of it, at the same time. */
static void test_remove_together(void)
{
	_cleanup_free_ char *directory = temporary_directory();

	for (int round = 0; round < 30; round++) {
		struct error *error = NULL;
		pthread_t threads[3];

		for (int i = 0; i < 300; i++) {
			_cleanup_free_ char *path = xasprintf("%s/%d", directory, i);

			if (i % 2)
				CHECK_OK(make_directories(path, 0700, &error), &error);
			else
				CHECK_OK(write_file_atomic(path, "x", 1, 0600, &error), &error);
		}
		for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
			CHECK(pthread_create(&threads[i], NULL, remove_it, directory) == 0);
		for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
			CHECK(pthread_join(threads[i], NULL) == 0);
		CHECK(access(directory, F_OK) < 0);
		CHECK_OK(make_directories(directory, 0700, &error), &error);
	}
	CHECK(rmdir(directory) == 0);
}

static void test_unix_long_path(void)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *directory = temporary_directory();
	_cleanup_free_ char *deep = xasprintf("%s/%0100d", directory, 7);
	_cleanup_free_ char *path = xasprintf("%s/socket", deep);
	_cleanup_close_ int listener = -1, client = -1, server = -1;

	CHECK_OK(make_directories(deep, 0700, &error), &error);
	listener = unix_listen(path, 0600, &error);
	CHECK_OK(listener, &error);
	client = unix_connect(path, &error);
	CHECK_OK(client, &error);
	server = accept(listener, NULL, NULL);
	CHECK(server >= 0);
	CHECK_ERROR(unix_connect(deep, &error), &error, "cannot connect");
	CHECK_OK(remove_tree(directory, &error), &error);
}

/* Who comes in a burst waits to be accepted. */
static void test_unix_burst(void)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *directory = temporary_directory();
	_cleanup_free_ char *path = xasprintf("%s/socket", directory);
	_cleanup_close_ int listener = unix_listen(path, 0600, &error);
	int clients[400];

	CHECK_OK(listener, &error);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		clients[i] = unix_connect_nonblocking(path, &error);
		CHECK_OK(clients[i], &error);
	}
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		(void)close(clients[i]);
	CHECK_OK(remove_tree(directory, &error), &error);
}

static void test_pass_fds(void)
{
	int pair[2], pipe_fds[2], fds[FD_PASS_MAX];
	size_t n = 0;
	char byte = 0;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(pipe_fds) == 0);
	CHECK_INT(send_with_fds(pair[0], "x", 1, pipe_fds, 2), 1);
	CHECK_INT(recv_with_fds(pair[1], &byte, 1, fds, &n), 1);
	CHECK_INT(n, 2);
	CHECK(write(fds[1], "y", 1) == 1 && read(fds[0], &byte, 1) == 1);
	CHECK_INT(byte, 'y');
	CHECK(fds[0] != pipe_fds[0]);
}

static void test_ratelimit(void)
{
	struct ratelimit limit = { 0 };
	uint32_t suppressed = 9;

	CHECK(ratelimit_pass(&limit, &suppressed));
	CHECK_INT(suppressed, 0);
	CHECK(!ratelimit_pass(&limit, &suppressed));
	CHECK(!ratelimit_pass(&limit, &suppressed));
	limit.next_ns = 0;
	CHECK(ratelimit_pass(&limit, &suppressed));
	CHECK_INT(suppressed, 2);
}

static void test_rfc3339(void)
{
	char text[CLOCK_RFC3339_SIZE];

	clock_rfc3339(UINT64_C(1767323045678901234), text);
	CHECK_STRING(text, "2026-01-02T03:04:05.678901234Z");
}

static void test_log_forms(void)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *directory = temporary_directory();
	_cleanup_free_ char *path = xasprintf("%s/log", directory);
	_cleanup_free_ char *text = NULL;

	CHECK_OK(log_open(path, &error), &error);
	log_set_format(LOG_FORMAT_JSON);
	log_error("a \"quoted\"\nline");
	log_debug("not shown");
	CHECK_OK(read_file(path, 1000, &text, NULL, &error), &error);
	CHECK(strstr(text, "{\"level\":\"error\",\"msg\":\"a \\\"quoted\\\"\\nline\",\"time\":\""));
	CHECK(!strstr(text, "not shown"));
	log_set_format(LOG_FORMAT_TEXT);
	log_error("a \"quoted\" \\\nli\rne");
	free(TAKE_PTR(text));
	CHECK_OK(read_file(path, 1000, &text, NULL, &error), &error);
	CHECK(strstr(text, "Z\" level=error msg=\"a \\\"quoted\\\" \\\\\\nli ne\"\n"));
	CHECK_OK(remove_tree(directory, &error), &error);
}

/* What sh prints for this script. */
static int capture(const char *script, uint64_t limit_ms, char **ret_text, int *ret_status,
		   struct error **ret_error)
{
	char *argv[] = { (char *)"/bin/sh", (char *)"-c", (char *)script, NULL };

	return capture_output(argv, limit_ms, ret_text, ret_status, ret_error);
}

static void test_capture(void)
{
	char *const nowhere[] = { (char *)"/no/such/program", NULL };
	int high = fcntl(STDIN_FILENO, F_DUPFD, 100);
	struct error *error = NULL;
	char *text = NULL;
	int status = 0;

	CHECK(high >= 100);
	CHECK_OK(capture("echo out; echo err >&2; cat; ls -l /proc/self/fd/100; exit 3", 60000,
			 &text, &status, &error),
		 &error);
	CHECK_STRING(text, "out\n");
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	free(TAKE_PTR(text));
	(void)close(high);
	CHECK_OK(capture("kill -9 $$", 60000, &text, &status, &error), &error);
	CHECK_STRING(text, "");
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	free(TAKE_PTR(text));
	/* More than is kept is read all the same. */
	CHECK_OK(
	    capture("head -c 300000 /dev/zero | tr '\\0' x; exit 4", 60000, &text, &status, &error),
	    &error);
	CHECK(strlen(text) > 60000 && strlen(text) <= 65536);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 4);
	free(TAKE_PTR(text));
	/* Neither silence nor a closed output keeps us for ever. */
	CHECK_ERROR(capture("exec sleep 1000", 50, &text, &status, &error), &error,
		    "did not end within 50 ms");
	CHECK_ERROR(capture("exec sleep 1000 >/dev/null", 50, &text, &status, &error), &error,
		    "did not end within 50 ms");
	CHECK_ERROR(capture_output(nowhere, 50, &text, &status, &error), &error,
		    "cannot run /no/such/program");
	CHECK(!text);
	CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

static void test_paths(void)
{
	char directory[] = "/tmp/test-base.XXXXXX";
	_cleanup_free_ char *program = NULL, *path = NULL, *saved = xstrdup(getenv("PATH"));
	struct error *error = NULL;
	char *found = NULL;

	CHECK(mkdtemp(directory));
	program = xasprintf("%s/supermachine-test", directory);
	CHECK_OK(write_file_atomic(program, "", 0, 0600, &error), &error);
	path = xasprintf(":.:/nowhere::%s/.:%s:", directory, directory);
	CHECK(setenv("PATH", path, 1) == 0 && chdir(directory) == 0);
	CHECK(!paths_search("supermachine-test")); /* cannot be executed */
	CHECK(chmod(program, 0700) == 0);
	found = paths_search("supermachine-test");
	CHECK(found && strstr(found, "/./supermachine-test"));
	free(TAKE_PTR(found));
	CHECK(setenv("PATH", ".:", 1) == 0);
	CHECK(!paths_search("supermachine-test"));
	CHECK(unsetenv("PATH") == 0);
	CHECK(!paths_search("supermachine-test"));
	CHECK(setenv("PATH", saved, 1) == 0);

	CHECK(setenv("SUPERMACHINE_QEMU", program, 1) == 0);
	CHECK_OK(paths_find_qemu(&found, &error), &error);
	CHECK_STRING(found, program);
	free(TAKE_PTR(found));
	CHECK(setenv("SUPERMACHINE_QEMU", directory, 1) == 0);
	CHECK_ERROR(paths_find_qemu(&found, &error), &error, "is not a program");
	CHECK(unsetenv("SUPERMACHINE_QEMU") == 0);

	CHECK(setenv("SUPERMACHINE_RUNTIME", "/a/b", 1) == 0);
	found = paths_runtime();
	CHECK_STRING(found, "/a/b");
	free(TAKE_PTR(found));
	CHECK(setenv("SUPERMACHINE_RUNTIME", "relative", 1) == 0);
	CHECK(setenv("XDG_RUNTIME_DIR", "/x", 1) == 0);
	found = paths_runtime();
	CHECK_STRING(found, geteuid() == 0 ? "/run/supermachine" : "/x/supermachine");
	free(TAKE_PTR(found));
	CHECK(unsetenv("SUPERMACHINE_RUNTIME") == 0 && chdir("/") == 0);
	CHECK_OK(remove_tree(directory, &error), &error);
}

/* Whatever is installed: it is not looked for. (tests/installed has the rest.) */
static void test_not_installed(void)
{
	char own[4096];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
	_cleanup_free_ char *looked_for = NULL;
	struct error *error = NULL;
	char *found = NULL;

	CHECK(n > 0);
	own[n] = '\0';
	*strrchr(own, '/') = '\0';
	CHECK(!paths_installed());
	looked_for = xasprintf("(looked for %s/supermachine-vmm)", own);
	CHECK_ERROR(paths_find_program("supermachine-vmm", &found, &error), &error, looked_for);
	free(looked_for);
	looked_for = xasprintf("(looked for %s/initramfs.cpio)", own);
	CHECK_ERROR(paths_find_data("initramfs.cpio", &found, &error), &error, looked_for);
}

static int note_nothing(pid_t pid, void *context, struct error **ret_error)
{
	(void)ret_error;
	*(pid_t *)context = pid;
	return 0;
}

static int note_fails(pid_t pid, void *context, struct error **ret_error)
{
	(void)note_nothing(pid, context, NULL);
	return error_set(ret_error, ENOSPC, "no room for a note");
}

static int note_dies(pid_t pid, void *context, struct error **ret_error)
{
	(void)note_nothing(pid, context, ret_error);
	return kill(getpid(), SIGKILL);
}

/* A daemon runs only when it has been noted, even if its caller dies over it. */
static void test_hex(void)
{
	static const unsigned char bytes[] = { 0x00, 0x7f, 0xa5, 0xff };
	_cleanup_free_ char *text = hex_encode(bytes, sizeof(bytes));
	_cleanup_free_ char *nothing = hex_encode(NULL, 0);

	CHECK_STRING(text, "007fa5ff");
	CHECK_STRING(nothing, "");
	for (size_t i = 0; i < sizeof(bytes); i++)
		CHECK_INT(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]), bytes[i]);
	CHECK_INT(hex_digit('F'), 15);
	for (const char *c = "/:@G`g \x80"; *c; c++)
		CHECK_INT(hex_digit(*c), -1);
}

/* RFC draft-eastlake-fnv, appendix C. */
static void test_fnv(void)
{
	CHECK(fnv1a("", 0) == 0xcbf29ce484222325);
	CHECK(fnv1a("a", 1) == 0xaf63dc4c8601ec8c);
	CHECK(fnv1a("foobar", 6) == 0x85944171f73967e8);
}

/* What its parent handles, ignores and blocks is no longer so in a child. */
static void check_child(void)
{
	struct sigaction action;
	sigset_t signals;

	child_reset_signals();
	CHECK(sigprocmask(SIG_SETMASK, NULL, &signals) == 0 && sigisemptyset(&signals));
	for (int i = 1; i < NSIG; i++)
		if (sigaction(i, NULL, &action) == 0)
			CHECK(action.sa_handler == SIG_DFL);
	_exit(0);
}

static void handle(int signal)
{
	(void)signal;
}

static void test_child_signals(void)
{
	sigset_t all, before;
	int status = -1;
	pid_t pid;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGRTMAX, handle);
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		check_child();
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	(void)signal(SIGRTMAX, SIG_DFL);
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
}

static void test_daemon(void)
{
	static const char *const argv[] = { "sh", "-c", "touch ran", NULL };
	char directory[] = "/tmp/test-base.XXXXXX";
	struct error *error = NULL;
	pid_t pid = 0, caller;
	struct daemon_setup setup = {
		.program = "/bin/sh", .argv = argv, .directory = directory, .log_fd = -1
	};
	int status;

	CHECK(mkdtemp(directory) && chdir(directory) == 0);
	CHECK((setup.listen_fd = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0);
	setup.context = &pid;
	setup.note = note_fails;
	CHECK_ERROR(daemon_start(&setup, &error), &error, "no room for a note");
	CHECK(pid > 0 && kill(pid, 0) < 0 && errno == ESRCH);

	/* Its orphan is ours to wait for. */
	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	setup.note = note_dies;
	CHECK((caller = fork()) >= 0);
	if (caller == 0)
		_exit(daemon_start(&setup, NULL) == 0 ? 0 : 1);
	CHECK(waitpid(caller, &status, 0) == caller && WIFSIGNALED(status));
	CHECK(waitpid(-1, &status, 0) > 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 127);
	CHECK(access("ran", F_OK) < 0 && errno == ENOENT);

	setup.note = note_nothing;
	CHECK_OK(daemon_start(&setup, &error), &error);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CHECK(access("ran", F_OK) == 0);
	CHECK(close(setup.listen_fd) == 0 && chdir("/") == 0);
	CHECK_OK(remove_tree(directory, &error), &error);
}

/* What cannot be told has not worked. */
static void test_daemon_without_descriptors(void)
{
	static const char *const argv[] = { "sh", "-c", ":", NULL };
	const struct rlimit few = { 24, 24 };
	struct error *error = NULL;
	pid_t pid = 0;
	const struct daemon_setup setup = { .program = "/bin/sh",
					    .argv = argv,
					    .directory = "/",
					    .listen_fd = STDIN_FILENO,
					    .log_fd = -1,
					    .note = note_nothing,
					    .context = &pid };

	CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
	CHECK_ERROR(daemon_start(&setup, &error), &error, "cannot run /bin/sh: ");
}

static void test_plain(void)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "a\xc3\xa4 \xe2\x80\x93", "a\xc3\xa4 \xe2\x80\x93" },
		{ "a\n\tb", "a  b" },
		{ "\x1b[2J\x7f\r", "?[2J??" },
		/* C1, whole and cut short; U+00A0 is none. */
		{ "\xc2\x80\xc2\x9f\xc2\xa0\xc2", "????\xc2\xa0\xc2" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = xstrdup(cases[i][0]);

		plain_text(text);
		CHECK_STRING(text, cases[i][1]);
	}
}

/* How a process ends that kills itself with the signal, or exits with the status. */
static char *end_of(int signal, int status)
{
	const pid_t pid = fork();

	if (pid == 0) {
		(void)kill(getpid(), signal);
		_exit(status);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	return child_end_text(status);
}

static void test_child_ends(void)
{
	const struct {
		int signal, status;
		const char *text;
	} ends[] = {
		{ 0, 3, "exit status 3" },
		{ SIGKILL, 0, "signal: killed" },
		{ SIGSYS, 0, "signal: bad system call" },
		{ SIGRTMIN + 3, 0, NULL }, /* without a name */
	};

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		_cleanup_free_ char *number = xasprintf("signal %d", ends[i].signal);
		_cleanup_free_ char *text = end_of(ends[i].signal, ends[i].status);

		CHECK_STRING(text, ends[i].text ? ends[i].text : number);
	}
}

/* Each sees the other's end, whatever end it is. */
static void test_child(void)
{
	int alive[2], pipe, status;
	struct error *error = NULL;
	pid_t parent, pid;
	char byte;

	CHECK(pipe2(alive, O_CLOEXEC) == 0);
	parent = fork();
	if (parent == 0) {
		pid = child_fork(&pipe, NULL);
		if (pid == 0) {
			struct pollfd reader = { .fd = pipe };

			(void)!write(alive[1], "", 1);
			_exit(poll(&reader, 1, -1) != 1);
		}
		for (;;)
			(void)pause();
	}
	(void)close(alive[1]);
	CHECK(read(alive[0], &byte, 1) == 1);
	CHECK(kill(parent, SIGKILL) == 0 && waitpid(parent, &status, 0) == parent);
	CHECK(read(alive[0], &byte, 1) == 0);
	(void)close(alive[0]);

	pid = child_fork(&pipe, &error);
	if (pid == 0)
		_exit(write(pipe, "word", 4) != 4);
	CHECK(pid > 0);
	CHECK(read(pipe, (char[4]){ 0 }, 4) == 4 && read(pipe, &byte, 1) == 0);
	(void)close(pipe);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static const struct test_case cases[] = {
	{ "child", test_child },
	{ "child ends", test_child_ends },
	{ "error", test_error },
	{ "plain", test_plain },
	{ "buffer", test_buffer },
	{ "checked", test_checked },
	{ "files", test_files },
	{ "copy bytes", test_copy_bytes },
	{ "remove deep", test_remove_deep },
	{ "remove together", test_remove_together },
	{ "unix long path", test_unix_long_path },
	{ "unix burst", test_unix_burst },
	{ "pass fds", test_pass_fds },
	{ "ratelimit", test_ratelimit },
	{ "rfc3339", test_rfc3339 },
	{ "log forms", test_log_forms },
	{ "capture", test_capture },
	{ "paths", test_paths },
	{ "not installed", test_not_installed },
	{ "hex", test_hex },
	{ "fnv", test_fnv },
	{ "child signals", test_child_signals },
	{ "daemon", test_daemon },
	{ "daemon without descriptors", test_daemon_without_descriptors },
};

TEST_MAIN(cases)
