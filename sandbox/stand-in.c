/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that stands for a container: see stand-in.h.
 *
 *   server ──fork──► intermediate: enters cgroup, network and mount namespace
 *                        └──fork──► the stand-in
 *
 * As a VMM (vmm-spawn.c), but without an exec: it has nothing to do.
 */
#include "sandbox/stand-in.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "protocol/control.h"

#define TEXT_MAX 1024
#define NAME "stand-in"
#define PATIENCE_S 60

struct report {
	int code; /* errno; 0: it has started */
	pid_t pid;
	char text[TEXT_MAX];
};

struct order {
	int code, signal;
};

static void __attribute__((noreturn)) fail(int socket, const struct error *error)
{
	struct report report = { .code = error->code > 0 ? error->code : EIO };

	(void)snprintf(report.text, sizeof(report.text), "%s", error->message);
	(void)send_with_fds(socket, &report, sizeof(report), NULL, 0);
	_exit(1);
}

/* Where it was forked nobody reads what it says: it goes on with what it could drop. */
static void drop_privileges(void)
{
	cap_t none = cap_init();

	for (int i = 0; i <= CAP_LAST_CAP; i++)
		(void)prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
	(void)cap_set_proc(none);
	(void)cap_free(none);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static void __attribute__((noreturn)) stand_in(int socket, int null)
{
	struct order order = { 0 };
	ssize_t n;

	for (int i = 0; i <= STDERR_FILENO; i++)
		(void)dup2(null, i);
	(void)dup2(socket, STDERR_FILENO + 1);
	(void)close_range(STDERR_FILENO + 2, ~0U, 0);
	(void)setsid();
	child_reset_signals();
	(void)prctl(PR_SET_NAME, NAME, 0, 0, 0);
	drop_privileges();
	do
		n = read(STDERR_FILENO + 1, &order, sizeof(order));
	while (n < 0 && errno == EINTR);
	_exit(n == sizeof(order) ? child_end(order.code, order.signal) : VMM_EXIT_ORPHANED);
}

static void __attribute__((noreturn))
run_intermediate(const struct stand_in_setup *setup, bool in_cgroup, int socket)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct report report = { 0 };
	struct error *error = NULL;
	int pidfd;

	if (!in_cgroup && cgroup_place_enter(setup->cgroup, &error) < 0)
		fail(socket, error);
	if (setup->netns_fd >= 0 && setns(setup->netns_fd, CLONE_NEWNET) < 0) {
		(void)error_set_errno(&error, errno, "cannot join the network namespace");
		fail(socket, error);
	}
	if (stage_adopt(setup->vmm, setup->stage_fd, setup->stage, &error) < 0)
		fail(socket, error);
	report.pid = fork();
	if (report.pid == 0)
		stand_in(socket, null);
	pidfd = report.pid < 0 ? -1 : pidfd_open(report.pid, 0);
	if (pidfd < 0) {
		(void)error_set_errno(&error, errno, "cannot start a process");
		fail(socket, error);
	}
	(void)send_with_fds(socket, &report, sizeof(report), &pidfd, 1);
	_exit(0);
}

static int read_report(int socket, struct stand_in *ret_stand_in, struct error **ret_error)
{
	int fds[FD_PASS_MAX];
	struct report report;
	size_t n_fds = 0;
	const ssize_t n = recv_with_fds(socket, &report, sizeof(report), fds, &n_fds);

	if (n == sizeof(report) && report.code == 0 && n_fds == 1) {
		ret_stand_in->pid = report.pid;
		ret_stand_in->pidfd = fds[0];
		return 0;
	}
	for (size_t i = 0; i < n_fds; i++)
		(void)close(fds[i]);
	if (n == sizeof(report) && report.code != 0)
		return error_set(ret_error, report.code, "%.*s", TEXT_MAX, report.text);
	return error_set(ret_error, EIO, "a process that was to stand for the container was lost");
}

int stand_in_start(const struct stand_in_setup *setup, struct stand_in *ret_stand_in,
		   struct error **ret_error)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	struct stand_in started = STAND_IN_NONE;
	bool in_cgroup = false;
	int sockets[2], result;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return error_set_errno(ret_error, errno, "cannot make a socket");
	started.socket = sockets[0];
	(void)setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	pid = cgroup_place_fork(setup->cgroup, &in_cgroup);
	if (pid == 0) {
		(void)close(sockets[0]);
		run_intermediate(setup, in_cgroup, sockets[1]);
	}
	(void)close(sockets[1]);
	if (pid < 0)
		result = error_set_errno(ret_error, errno, "cannot start a process");
	else
		result = read_report(started.socket, &started, ret_error);
	/* One whose cgroup has been frozen meanwhile ends when it is thawed: it is not waited for.
	 */
	if (pid > 0 && result < 0)
		(void)kill(pid, SIGKILL);
	while (pid > 0 && waitpid(pid, NULL, result < 0 ? WNOHANG : 0) < 0 && errno == EINTR)
		;
	if (result < 0) {
		stand_in_done(&started);
		return -1;
	}
	*ret_stand_in = started;
	return 0;
}

void stand_in_end(const struct stand_in *stand_in, unsigned code, unsigned signal)
{
	const struct order order = { .code = (int)code, .signal = (int)signal };

	/* (One that somebody has stopped reads no order.) */
	if (signal == SIGKILL || send(stand_in->socket, &order, sizeof(order),
				      MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof(order))
		stand_in_kill(stand_in);
}

void stand_in_kill(const struct stand_in *stand_in)
{
	if (stand_in->pidfd >= 0)
		(void)pidfd_send_signal(stand_in->pidfd, SIGKILL, NULL, 0);
}

void stand_in_done(struct stand_in *stand_in)
{
	stand_in_kill(stand_in);
	close_fdp(&stand_in->pidfd);
	close_fdp(&stand_in->socket);
	*stand_in = STAND_IN_NONE;
}
