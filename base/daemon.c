/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a daemon: see daemon.h. */
#include "base/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/io.h"

/* Above every final place: a source may sit in one. */
#define HIGH_FD 16

static int place_fds(const struct daemon_setup *setup)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int wanted[] = { null, null, setup->log_fd >= 0 ? setup->log_fd : null,
			       setup->listen_fd };
	int high[ARRAY_SIZE(wanted)];

	if (null < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		high[i] = fcntl(wanted[i], F_DUPFD_CLOEXEC, HIGH_FD);
		if (high[i] < 0)
			return -1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (dup2(high[i], (int)i) < 0)
			return -1;
	return 0;
}

/* go_fd: a byte comes when the program may run, the end of the file when it may not. */
static void __attribute__((noreturn))
run(const struct daemon_setup *setup, int go_fd, int report_fd)
{
	char go;
	const int report = fcntl(report_fd, F_DUPFD_CLOEXEC, 2 * HIGH_FD);
	int code;

	if (report < 0) {
		code = errno;
		(void)!write(report_fd, &code, sizeof(code));
		_exit(127);
	}
	if (read_all(go_fd, &go, sizeof(go)) != (ssize_t)sizeof(go))
		_exit(127);
	(void)setsid();
	child_reset_signals();
	if (chdir(setup->directory) == 0 && place_fds(setup) == 0) {
		/* Nothing of the caller's stays open in a process that lives on. */
		(void)close_range(DAEMON_LISTEN_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC);
		(void)execv(setup->program, (char *const *)setup->argv);
	}
	code = errno;
	(void)!write(report, &code, sizeof(code));
	_exit(127);
}

static int set_off(const struct daemon_setup *setup, pid_t pid, int go_fd, int report_fd,
		   struct error **ret_error)
{
	const char go = 1;
	int code = 0;

	if (setup->note(pid, setup->context, ret_error) < 0)
		return -1;
	(void)!write(go_fd, &go, sizeof(go));
	/* End of file: the exec has closed it. */
	if (read_all(report_fd, &code, sizeof(code)) == (ssize_t)sizeof(code))
		return error_set_errno(ret_error, code, "cannot run %s", setup->program);
	return 0;
}

int daemon_start(const struct daemon_setup *setup, struct error **ret_error)
{
	_cleanup_close_ int report_in = -1, report_out = -1, go_in = -1, go_out = -1;
	pid_t pid;

	if (pipe_open(&report_in, &report_out, ret_error) < 0 ||
	    pipe_open(&go_in, &go_out, ret_error) < 0)
		return -1;
	pid = fork();
	if (pid < 0)
		return error_set_errno(ret_error, errno, "cannot start %s", setup->program);
	if (pid == 0) {
		close_fdp(&go_out);
		run(setup, go_in, report_out);
	}
	close_fdp(&report_out);
	report_out = -1;
	if (set_off(setup, pid, go_out, report_in, ret_error) == 0)
		return 0;
	close_fdp(&go_out);
	go_out = -1;
	(void)waitpid(pid, NULL, 0);
	return -1;
}
