/* SPDX-License-Identifier: Apache-2.0 */
/* The QEMU process: see qemu-process.h. */
#include "vmm/qemu/qemu-process.h"

#include <errno.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "vmm/qemu/qemu-keeper.h"
#include "vmm/host-user.h"

static void log_command(const struct qemu_command *command)
{
	_cleanup_free_ char *line = strv_join(command->arguments, " ");

	log_debug("%s", line);
}

static int start_keeper(const struct qemu_keeper *keeper, struct qemu_process *process,
			struct error **ret_error)
{
	process->pid = fork();
	if (process->pid == 0)
		qemu_keeper_run(keeper);
	if (process->pid < 0)
		return error_set_errno(ret_error, errno, "cannot start a process for QEMU");
	process->pidfd = pidfd_open(process->pid, 0);
	if (process->pidfd < 0) {
		int code = errno;

		(void)kill(process->pid, SIGKILL);
		(void)waitpid(process->pid, NULL, 0);
		return error_set_errno(ret_error, code, "cannot watch the process of QEMU");
	}
	return 0;
}

int qemu_process_start(const struct qemu_command *command, struct qemu_process *ret_process,
		       struct error **ret_error)
{
	struct qemu_keeper keeper = { .command = command, .parent = getpid() };
	struct qemu_process process = QEMU_PROCESS_NONE;
	_cleanup_close_ int ours = -1, keepers = -1, hold = -1;
	int ends[2];

	if (host_user_available() && host_user_take(&keeper.user, &hold, ret_error) < 0)
		return error_wrap(ret_error, "QEMU needs a user of its own");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set_errno(ret_error, errno, "cannot make a socket");
	ours = ends[0];
	keepers = keeper.control = ends[1];
	if (start_keeper(&keeper, &process, ret_error) < 0)
		return -1;
	log_command(command);
	process.control = TAKE_FD(ours);
	process.hold = TAKE_FD(hold);
	*ret_process = process;
	return 0;
}

int qemu_process_confine(const struct qemu_process *process, struct error **ret_error)
{
	const struct qemu_keeper_message order = { .word = QEMU_KEEPER_CONFINE };
	struct qemu_keeper_message answer = { .code = EPIPE };
	ssize_t n;

	if (send(process->control, &order, sizeof(order), MSG_NOSIGNAL) == sizeof(order)) {
		do
			n = recv(process->control, &answer, sizeof(answer), 0);
		while (n < 0 && errno == EINTR);
		if (n == sizeof(answer) && answer.word == QEMU_KEEPER_CONFINED && answer.code == 0)
			return 0;
		if (n != sizeof(answer) || answer.word != QEMU_KEEPER_CONFINED)
			answer.code = EPIPE;
	}
	return error_set_errno(ret_error, answer.code, "cannot confine QEMU");
}

/* The keeper does it, and so has QEMU's own status to tell; if it cannot, the kernel ends QEMU
 * with it. */
void qemu_process_kill(const struct qemu_process *process)
{
	const struct qemu_keeper_message order = { .word = QEMU_KEEPER_KILL };

	if (process->pid > 0 && send(process->control, &order, sizeof(order),
				     MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof(order))
		(void)pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
}

/* The status that QEMU left with its keeper; else the keeper's, which was killed. */
static int last_word(const struct qemu_process *process, int status)
{
	struct qemu_keeper_message message;
	ssize_t n;

	/* ECONNRESET, once: an order of ours that it did not read any more (unix(7)). */
	do {
		n = recv(process->control, &message, sizeof(message), MSG_DONTWAIT);
		if (n == sizeof(message) && message.word == QEMU_KEEPER_ENDED)
			return message.code;
	} while (n > 0 || (n < 0 && errno == ECONNRESET));
	return status;
}

char *qemu_process_reap(struct qemu_process *process, const char *why_killed)
{
	const char *why = why_killed ? why_killed : "", *then = why_killed ? "; " : "";
	int status = 0;
	pid_t pid;

	do
		pid = waitpid(process->pid, &status, 0);
	while (pid < 0 && errno == EINTR);
	status = last_word(process, status);
	close_fdp(&process->pidfd);
	close_fdp(&process->control);
	close_fdp(&process->hold);
	*process = QEMU_PROCESS_NONE;
	if (WIFSIGNALED(status))
		return xasprintf("%s%sQEMU died by signal %d", why, then, WTERMSIG(status));
	return xasprintf("%s%sQEMU ended with status %d", why, then, WEXITSTATUS(status));
}
