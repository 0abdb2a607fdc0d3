/* SPDX-License-Identifier: Apache-2.0 */
/* Running a short program for what it prints: see capture.h. */
#include "base/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/io.h"

#define TEXT_MAX 65536
#define READ_SIZE 4096

extern char **environ;

static int spawn(char *const *argv, int output, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int code;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawnattr_init(&attributes);
	(void)posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	(void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	(void)posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setsigdefault(&attributes, &all);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	code = posix_spawn(ret_pid, argv[0], &actions, &attributes, argv, environ);
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&actions);
	return code;
}

/* False where the end of the output does not come in time. */
static bool read_output(int fd, uint64_t end_ns, struct buffer *text)
{
	for (;;) {
		const uint64_t now = clock_monotonic_ns();
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (now >= end_ns)
			return false;
		if (poll(&poll_fd, 1, (int)((end_ns - now) / 1000000) + 1) <= 0)
			continue;
		n = read(fd, buffer_reserve(text, READ_SIZE), READ_SIZE);
		if (n == 0 || (n < 0 && errno != EINTR))
			return true;
		/* What is too much is read all the same: the program shall end. */
		if (n > 0 && buffer_length(text) + (size_t)n <= TEXT_MAX)
			buffer_commit(text, (size_t)n);
	}
}

/* Having closed its output, it may still run. */
static bool wait_for_end(pid_t pid, uint64_t end_ns, int *ret_status)
{
	_cleanup_close_ int pidfd = pidfd_open(pid, 0);

	for (;;) {
		const uint64_t now = clock_monotonic_ns();
		struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };

		if (now >= end_ns)
			return false;
		if (poll(&poll_fd, 1, (int)((end_ns - now) / 1000000) + 1) > 0)
			return waitpid(pid, ret_status, 0) == pid;
	}
}

int capture_output(char *const *argv, uint64_t limit_ms, char **ret_text, int *ret_status,
		   struct error **ret_error)
{
	const uint64_t end_ns = clock_monotonic_ns() + limit_ms * 1000000;
	_cleanup_close_ int ours = -1, theirs = -1;
	struct buffer text = { 0 };
	int status = 0, code;
	pid_t pid;

	if (pipe_open(&ours, &theirs, ret_error) < 0)
		return -1;
	code = spawn(argv, theirs, &pid);
	if (code != 0)
		return error_set_errno(ret_error, code, "cannot run %s", argv[0]);
	close_fdp(&theirs);
	theirs = -1;
	if (!read_output(ours, end_ns, &text) || !wait_for_end(pid, end_ns, &status)) {
		(void)kill(pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		buffer_done(&text);
		return error_set(ret_error, ETIMEDOUT, "%s did not end within %llu ms", argv[0],
				 (unsigned long long)limit_ms);
	}
	*buffer_reserve(&text, 1) = '\0';
	*ret_text = (char *)buffer_data(&text);
	*ret_status = status;
	return 0;
}
