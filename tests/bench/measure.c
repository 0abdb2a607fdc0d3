/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures one run of a program; the benchmark (tests/bench/bench) repeats,
 * interleaves and compares.
 *
 * usage: measure agent (--unix PATH | --vsock) [--memory MIB | --then PROGRAM] -- COMMAND…
 *          COMMAND runs a guest with our agent, which dials the host's port
 *          1024: the unix socket PATH here, or AF_VSOCK with vhost. Prints the
 *          microseconds from exec to the answer of the agent's Hello; with
 *          --memory (the guest's RAM) instead the KiB of COMMAND's resident
 *          memory without guest RAM: highest seen, and half a second later.
 *          --then: PROGRAM runs before COMMAND is ended, with status 0.
 *        measure output TEXT -- COMMAND…
 *          Prints the microseconds from exec until TEXT has come out of
 *          COMMAND, which then must end with status 0.
 *        measure resident MIB PID…
 *          Prints the KiB resident of each process, without guest RAM.
 *        measure peak PID…
 *          Prints the KiB each process had resident at most, guest RAM included.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "protocol/agent.h"
#include "protocol/agent.pb-c.h"
#include "ttrpc/ttrpc.h"

#define TIMEOUT_MS 240000
#define SAMPLE_MS 5
#define SETTLE_MS 500

extern char **environ;

static pid_t child; /* ended with this program, whatever the reason */

static void end_child(void)
{
	if (child > 0 && kill(child, SIGKILL) == 0)
		(void)waitpid(child, NULL, 0);
	child = 0;
}

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *format, ...)
{
	va_list args;

	(void)fputs("measure: ", stderr);
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
	end_child();
	exit(1);
}

static void nap(long milliseconds)
{
	const struct timespec pause = { milliseconds / 1000, milliseconds % 1000 * 1000000 };

	(void)nanosleep(&pause, NULL);
}

static uint64_t number(const char *text)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (*text == '\0' || *end != '\0')
		die("%s is not a number", text);
	return value;
}

/* Starts the program; output: what its stdout becomes, or -1. */
static uint64_t start(char *const *command, int output)
{
	posix_spawn_file_actions_t actions;
	uint64_t now;
	int code;

	(void)posix_spawn_file_actions_init(&actions);
	if (output >= 0)
		(void)posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	now = clock_monotonic_ns();
	code = posix_spawnp(&child, command[0], &actions, NULL, command, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (code != 0) {
		child = 0;
		die("cannot run %s: %s", command[0], strerror(code));
	}
	return now;
}

/* A clone has its guest's RAM in many pieces: of its template's file, and of anonymous memory,
 * which not every kernel names (then it counts as the VMM's). */
static bool is_of_clone(const char *line)
{
	return strstr(line, "[anon:guest-ram]") || strstr(line, "/ram\n") ||
	       strstr(line, "/ram (deleted)\n");
}

/*
 * Resident memory without guest RAM, which is a clone's, or any mapping of at least half its
 * size: VMMs map it in one piece or two and nothing else as large.
 */
static uint64_t resident_kib(pid_t pid, uint64_t guest_mib)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/smaps", pid);
	_cleanup_file_ FILE *file = fopen(path, "re");
	unsigned long long kib, from, to, size = 0, total = 0;
	bool is_clones = false;
	char line[512];

	if (!file)
		die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
			is_clones = is_of_clone(line);
		else if (sscanf(line, "Size: %llu kB", &kib) == 1)
			size = kib;
		else if (sscanf(line, "Rss: %llu kB", &kib) == 1 && size < guest_mib * 1024 / 2 &&
			 !is_clones)
			total += kib;
	}
	return total;
}

static uint64_t peak_kib(pid_t pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/status", pid);
	_cleanup_file_ FILE *file = fopen(path, "re");
	unsigned long long kib;
	char line[512];

	/* The kernel counts in batches: what is there now may be more. */
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "VmHWM: %llu kB", &kib) == 1)
			return MAX(kib, resident_kib(pid, UINT32_MAX));
	die("%s: no VmHWM", path);
}

static int listen_vsock(void)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK,
				       .svm_cid = VMADDR_CID_ANY,
				       .svm_port = AGENT_HOST_PORT };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 1) < 0)
		die("cannot listen on vsock port %d: %s", AGENT_HOST_PORT, strerror(errno));
	return fd;
}

/* The agent's connection; meanwhile samples memory where guest_mib is not 0. */
static int accept_agent(int listener, uint64_t guest_mib, uint64_t *peak)
{
	uint64_t end = clock_monotonic_ns() + TIMEOUT_MS * 1000000ULL;
	struct pollfd polled = { .fd = listener, .events = POLLIN };

	while (clock_monotonic_ns() < end) {
		int n = poll(&polled, 1, guest_mib ? SAMPLE_MS : 1000);

		if (n > 0)
			return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (waitpid(child, NULL, WNOHANG) != 0) {
			child = 0;
			die("the program ended before the agent was ready");
		}
		if (guest_mib) {
			uint64_t kib = resident_kib(child, guest_mib);

			if (kib > *peak)
				*peak = kib;
		}
	}
	die("no agent within %d s", TIMEOUT_MS / 1000);
}

static void say_hello(int fd)
{
	static uint8_t entropy[32] = { 1 };
	Agent__HelloRequest request = AGENT__HELLO_REQUEST__INIT;
	_cleanup_error_ struct error *error = NULL;
	ProtobufCMessage *response = NULL;
	const struct ttrpc_request call = { .service = "supermachine.v1.Agent",
					    .method = "Hello",
					    .message = &request.base,
					    .response = &agent__hello_response__descriptor,
					    .timeout_ms = TIMEOUT_MS };

	request.version = AGENT_PROTOCOL_VERSION;
	request.realtime_ns = clock_realtime_ns();
	request.entropy = (ProtobufCBinaryData){ sizeof(entropy), entropy };
	if (ttrpc_call_sync(fd, -1, &call, &response, &error) < 0)
		die("Hello: %s", error->message);
	protobuf_c_message_free_unpacked(response, NULL);
}

struct agent_options {
	const char *unix_path; /* NULL: vsock */
	const char *then;
	uint64_t guest_mib;
};

static void measure_agent(const struct agent_options *options, char *const *command)
{
	const char *unix_path = options->unix_path;
	const uint64_t guest_mib = options->guest_mib;
	_cleanup_error_ struct error *error = NULL;
	_cleanup_close_ int listener = -1, agent = -1;
	uint64_t started, ready, peak = 0, steady;

	listener = unix_path ? unix_listen(unix_path, 0600, &error) : listen_vsock();
	if (listener < 0)
		die("%s", error->message);
	started = start(command, -1);
	agent = accept_agent(listener, guest_mib, &peak);
	if (agent < 0)
		die("accept: %s", strerror(errno));
	say_hello(agent);
	ready = clock_monotonic_ns();
	if (guest_mib) {
		nap(SETTLE_MS);
		steady = resident_kib(child, guest_mib);
		printf("%llu %llu\n", (unsigned long long)(steady > peak ? steady : peak),
		       (unsigned long long)steady);
	} else {
		printf("%llu\n", (unsigned long long)(ready - started) / 1000);
	}
	if (options->then && system(options->then) != 0)
		die("%s failed", options->then);
	end_child();
}

static void measure_output(const char *text, char *const *command)
{
	char seen[65536];
	size_t n_seen = 0;
	uint64_t started, found = 0;
	int output[2], status;

	if (pipe2(output, O_CLOEXEC) < 0)
		die("pipe: %s", strerror(errno));
	started = start(command, output[1]);
	(void)close(output[1]);
	for (;;) {
		ssize_t n = read(output[0], seen + n_seen, sizeof(seen) - n_seen);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		n_seen += (size_t)n;
		if (!found && memmem(seen, n_seen, text, strlen(text)))
			found = clock_monotonic_ns();
	}
	if (waitpid(child, &status, 0) != child || status != 0)
		die("the program ended with wait status 0x%x", (unsigned)status);
	child = 0;
	if (!found)
		die("\"%s\" did not come out: \"%.*s\"", text, (int)n_seen, seen);
	printf("%llu\n", (unsigned long long)(found - started) / 1000);
}

static int usage(void)
{
	(void)fputs("usage: measure agent (--unix PATH | --vsock) [--memory MIB | --then "
		    "PROGRAM] -- COMMAND…\n"
		    "       measure output TEXT -- COMMAND…\n"
		    "       measure resident MIB PID…\n"
		    "       measure peak PID…\n",
		    stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct agent_options options = { 0 };
	bool vsock = false;
	int i = 2;

	if (argc >= 5 && strcmp(argv[1], "output") == 0 && strcmp(argv[3], "--") == 0) {
		measure_output(argv[2], argv + 4);
		return 0;
	}
	if (argc >= 4 && strcmp(argv[1], "resident") == 0) {
		for (i = 3; i < argc; i++)
			printf("%llu\n", (unsigned long long)resident_kib((pid_t)number(argv[i]),
									  number(argv[2])));
		return 0;
	}
	if (argc >= 3 && strcmp(argv[1], "peak") == 0) {
		for (i = 2; i < argc; i++)
			printf("%llu\n", (unsigned long long)peak_kib((pid_t)number(argv[i])));
		return 0;
	}
	if (argc < 4 || strcmp(argv[1], "agent") != 0)
		return usage();
	for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--vsock") == 0)
			vsock = true;
		else if (strcmp(argv[i], "--unix") == 0)
			options.unix_path = argv[++i];
		else if (strcmp(argv[i], "--then") == 0)
			options.then = argv[++i];
		else if (strcmp(argv[i], "--memory") == 0)
			options.guest_mib = number(argv[++i]);
		else
			return usage();
	}
	if (i + 1 >= argc || vsock == (options.unix_path != NULL))
		return usage();
	measure_agent(&options, argv + i + 1);
	return 0;
}
