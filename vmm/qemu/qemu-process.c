/* SPDX-License-Identifier: Apache-2.0 */
/* The QEMU process: see qemu-process.h. */
#include "vmm/qemu/qemu-process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "vmm/jail.h"

/* The kernel ends it with us, however we end; our parent may be anybody's. */
static int tie_to_parent(pid_t parent, struct error **ret_error)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return error_set_errno(ret_error, errno, "cannot set PR_SET_PDEATHSIG");
	if (getppid() != parent)
		return error_set(ret_error, ESRCH, "the VMM ended while QEMU was started");
	return 0;
}

static int place_fds(const struct qemu_command *command, struct error **ret_error)
{
	int null_fd = open("/dev/null", O_RDONLY), log_fd = command->log_fd;

	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0 ||
	    dup2(log_fd, STDERR_FILENO) < 0 ||
	    close_range(STDERR_FILENO + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC) < 0)
		return error_set_errno(ret_error, errno, "cannot set up QEMU's descriptors");
	for (size_t i = 0; i < command->n_fds; i++)
		if (set_cloexec(command->fds[i], false) < 0)
			return error_set_errno(ret_error, errno, "descriptor %d of QEMU",
					       command->fds[i]);
	return 0;
}

static void reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)signal(i, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void __attribute__((noreturn)) run_qemu(const struct qemu_command *command, pid_t parent)
{
	_cleanup_error_ struct error *error = NULL;

	/* The file is the parent's, which knows how much is in it. */
	log_set_fd(command->log_fd);
	/* A terminal's signals are for the VMM. */
	(void)setsid();
	reset_signals();
	if (place_fds(command, &error) == 0 && jail_drop_privileges(&error) == 0 &&
	    tie_to_parent(parent, &error) == 0) {
		execv(command->arguments[0], command->arguments);
		(void)error_set_errno(&error, errno, "cannot run %s", command->arguments[0]);
	}
	log_error("%s", error->message);
	_exit(127);
}

static void log_command(const struct qemu_command *command)
{
	_cleanup_free_ char *line = strv_join(command->arguments, " ");

	log_debug("%s", line);
}

int qemu_process_start(const struct qemu_command *command, struct qemu_process *ret_process,
		       struct error **ret_error)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	int pidfd;

	if (pid == 0)
		run_qemu(command, parent);
	if (pid < 0)
		return error_set_errno(ret_error, errno, "cannot start a process for QEMU");
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0) {
		int code = errno;

		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return error_set_errno(ret_error, code, "cannot watch the process of QEMU");
	}
	log_command(command);
	*ret_process = (struct qemu_process){ .pid = pid, .pidfd = pidfd };
	return 0;
}

void qemu_process_kill(const struct qemu_process *process)
{
	if (process->pid > 0)
		(void)pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
}

char *qemu_process_reap(struct qemu_process *process, const char *why_killed)
{
	const char *why = why_killed ? why_killed : "", *then = why_killed ? "; " : "";
	int status = 0;
	pid_t pid;

	do
		pid = waitpid(process->pid, &status, 0);
	while (pid < 0 && errno == EINTR);
	close_fdp(&process->pidfd);
	process->pid = 0;
	if (WIFSIGNALED(status))
		return xasprintf("%s%sQEMU died by signal %d", why, then, WTERMSIG(status));
	return xasprintf("%s%sQEMU ended with status %d", why, then, WEXITSTATUS(status));
}
