/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plays the one who calls an OCI runtime: conmon (a child subreaper that gets
 * the terminal over the console socket and waits for the pid file's process),
 * or a person at a terminal. For lab tests.
 *
 * usage: caller [OPTION…] -- COMMAND [ARG…]
 *   --console-socket PATH   listen there and take the terminal that arrives
 *   --pty COLSxROWS         COMMAND itself runs on a terminal of that size
 *   --pid-file FILE         whom "wait" waits for (default: COMMAND)
 *
 * With --pid-file COMMAND must end with status 0 first. Then one action per
 * line of standard input; one that fails ends the program with status 1:
 *   expect TEXT       the terminal's output has TEXT after what was expected last
 *   send TEXT         to the terminal; \n, \r and \xHH stand for the byte
 *   resize COLSxROWS
 *   run COMMAND       by the shell; must succeed
 *   hangup            closes the terminal
 *   wait              prints "exit N" or "signal N"
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"

#define EXPECT_MS 30000

struct caller {
	const char *console_socket;
	const char *pid_file;
	struct winsize size; /* ws_col 0: no --pty */
	int terminal;	     /* master, or -1 */
	pid_t pid;
	struct buffer output; /* of the terminal, not yet expected */
};

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "caller: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(1);
}

static struct winsize parse_size(const char *text)
{
	struct winsize size = { 0 };

	if (sscanf(text, "%hux%hu", &size.ws_col, &size.ws_row) != 2 || size.ws_col == 0)
		die("%s: not COLSxROWS", text);
	return size;
}

static char **parse_options(int argc, char **argv, struct caller *caller)
{
	int i = 1;

	for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
		if (strcmp(argv[i], "--console-socket") == 0)
			caller->console_socket = argv[i + 1];
		else if (strcmp(argv[i], "--pty") == 0)
			caller->size = parse_size(argv[i + 1]);
		else if (strcmp(argv[i], "--pid-file") == 0)
			caller->pid_file = argv[i + 1];
		else
			die("unknown option %s", argv[i]);
	}
	if (i + 1 >= argc || strcmp(argv[i], "--") != 0)
		die("usage: caller [OPTION…] -- COMMAND [ARG…]");
	return argv + i + 1;
}

static void start(struct caller *caller, char **command)
{
	if (caller->size.ws_col > 0) {
		caller->pid = forkpty(&caller->terminal, NULL, NULL, &caller->size);
	} else {
		caller->pid = fork();
		if (caller->pid == 0 && freopen("/dev/null", "r", stdin) == NULL)
			_exit(126);
	}
	if (caller->pid < 0)
		die("fork: %s", strerror(errno));
	if (caller->pid == 0) {
		execvp(command[0], command);
		die("%s: %s", command[0], strerror(errno));
	}
	if (caller->terminal >= 0)
		set_cloexec(caller->terminal, true);
}

/* As conmon: one message whose first descriptor is the terminal. */
static void take_terminal(struct caller *caller, int listener)
{
	struct pollfd polled = { .fd = listener, .events = POLLIN };
	_cleanup_close_ int connection = -1;
	int fds[FD_PASS_MAX];
	char name[256];
	size_t n_fds = 0;

	if (poll(&polled, 1, EXPECT_MS) != 1)
		die("no terminal came over the console socket");
	connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (recv_with_fds(connection, name, sizeof(name), fds, &n_fds) <= 0 || n_fds != 1)
		die("%zu descriptors came over the console socket", n_fds);
	caller->terminal = fds[0];
	if (!isatty(caller->terminal))
		die("the descriptor from the console socket is not a terminal");
}

/* COMMAND has made the container: its process is ours to wait for now. */
static void adopt(struct caller *caller)
{
	struct error *error = NULL;
	_cleanup_free_ char *text = NULL;
	int status;

	if (waitpid(caller->pid, &status, 0) < 0 || status != 0)
		die("the command's wait status is %#x", (unsigned int)status);
	if (read_file(caller->pid_file, 32, &text, NULL, &error) < 0)
		die("%s", error->message);
	caller->pid = (pid_t)strtol(text, NULL, 10);
	if (caller->pid <= 1)
		die("pid file: %s", text);
}

/* Reads what the terminal has; false at its end (EIO: nobody has the other side). */
static bool read_terminal(struct caller *caller, int timeout_ms)
{
	struct pollfd polled = { .fd = caller->terminal, .events = POLLIN };
	ssize_t n;

	if (poll(&polled, 1, timeout_ms) <= 0)
		return true;
	n = read(caller->terminal, buffer_reserve(&caller->output, 4096), 4096);
	if (n <= 0)
		return false;
	buffer_commit(&caller->output, (size_t)n);
	return true;
}

static void expect(struct caller *caller, const char *text)
{
	uint64_t end = clock_monotonic_ns() + EXPECT_MS * 1000000ULL;
	size_t length = strlen(text);
	bool open = true;

	for (;;) {
		uint8_t *data = buffer_data(&caller->output);
		size_t size = buffer_length(&caller->output);
		uint8_t *found = size ? memmem(data, size, text, length) : NULL;

		if (found) {
			buffer_consume(&caller->output, (size_t)(found - data) + length);
			return;
		}
		if (!open || clock_monotonic_ns() > end)
			die("expected \"%s\", the terminal %s: \"%.*s\"", text,
			    open ? "says" : "ended with", (int)size, (const char *)data);
		open = read_terminal(caller, 100);
	}
}

static void send_text(struct caller *caller, const char *text)
{
	for (; *text; text++) {
		char byte = *text;

		if (*text == '\\' && text[1] == 'n') {
			byte = '\n';
			text++;
		} else if (*text == '\\' && text[1] == 'r') {
			byte = '\r';
			text++;
		} else if (*text == '\\' && text[1] == 'x' && text[2] && text[3]) {
			const char digits[] = { text[2], text[3], '\0' };

			byte = (char)strtol(digits, NULL, 16);
			text += 3;
		}
		if (write_all(caller->terminal, &byte, 1) < 0)
			die("send: %s", strerror(errno));
	}
}

/* Reads the terminal meanwhile: nobody must hang on its full buffer. */
static void wait_for_end(struct caller *caller)
{
	bool open = caller->terminal >= 0;
	int status;
	pid_t pid;

	while ((pid = waitpid(caller->pid, &status, open ? WNOHANG : 0)) == 0)
		open = read_terminal(caller, 50);
	if (pid < 0)
		die("waiting for %d: %s", caller->pid, strerror(errno));
	if (WIFSIGNALED(status))
		printf("signal %d\n", WTERMSIG(status));
	else
		printf("exit %d\n", WEXITSTATUS(status));
}

static void act(struct caller *caller, const char *verb, const char *rest)
{
	if (strcmp(verb, "wait") == 0) {
		wait_for_end(caller);
	} else if (strcmp(verb, "run") == 0) {
		int status = system(rest);

		if (status != 0)
			die("run %s: wait status %#x", rest, (unsigned int)status);
	} else if (caller->terminal < 0) {
		die("%s: no terminal", verb);
	} else if (strcmp(verb, "expect") == 0) {
		expect(caller, rest);
	} else if (strcmp(verb, "send") == 0) {
		send_text(caller, rest);
	} else if (strcmp(verb, "resize") == 0) {
		struct winsize size = parse_size(rest);

		if (ioctl(caller->terminal, TIOCSWINSZ, &size) < 0)
			die("resize: %s", strerror(errno));
	} else if (strcmp(verb, "hangup") == 0) {
		close(TAKE_FD(caller->terminal));
	} else {
		die("unknown action %s", verb);
	}
}

int main(int argc, char **argv)
{
	struct caller caller = { .terminal = -1 };
	char **command = parse_options(argc, argv, &caller);
	struct error *error = NULL;
	_cleanup_close_ int listener = -1;
	char line[4096];

	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		die("prctl: %s", strerror(errno));
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (caller.console_socket) {
		listener = unix_listen(caller.console_socket, 0600, &error);
		if (listener < 0)
			die("%s", error->message);
	}
	start(&caller, command);
	if (listener >= 0)
		take_terminal(&caller, listener);
	if (caller.pid_file)
		adopt(&caller);
	while (fgets(line, sizeof(line), stdin)) {
		char *rest = line + strcspn(line, " \n");

		if (*rest)
			*rest++ = '\0';
		rest[strcspn(rest, "\n")] = '\0';
		if (line[0])
			act(&caller, line, rest);
	}
	if (caller.terminal >= 0)
		close(caller.terminal);
	buffer_done(&caller.output);
	return 0;
}
