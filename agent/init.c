/* SPDX-License-Identifier: Apache-2.0 */
/* The init of a container: see init.h. */
#include "agent/init.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/setup.h"

/* What a process is told of its own doing. */
static void fill_held(sigset_t *held)
{
	static const int own[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS };

	(void)sigfillset(held);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		(void)sigdelset(held, own[i]);
}

static void reap(pid_t program)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == program)
			_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static void __attribute__((noreturn)) be_init(pid_t program, const sigset_t *held)
{
	/* The program says whether it runs, and has the streams. */
	(void)close_range(0, ~0u, 0);
	(void)prctl(PR_SET_NAME, "init");
	for (;;) {
		siginfo_t info;
		const int signal = sigwaitinfo(held, &info);

		if (signal == SIGCHLD)
			reap(program);
		else if (signal > 0)
			(void)kill(program, signal);
	}
}

/* A group of its own, to which the terminal's keys go. */
static void lead_terminal(void)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct sigaction before;

	(void)setpgid(0, 0);
	(void)sigaction(SIGTTOU, &ignore, &before);
	(void)tcsetpgrp(STDIN_FILENO, getpgrp());
	(void)sigaction(SIGTTOU, &before, NULL);
}

int init_fork(struct error **ret_error)
{
	sigset_t held, before;
	pid_t pid;

	fill_held(&held);
	(void)sigprocmask(SIG_SETMASK, &held, &before);
	pid = fork();
	if (pid < 0)
		return error_set_errno(ret_error, errno, "cannot start the program below its init");
	if (pid > 0)
		be_init(pid, &held);
	lead_terminal();
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return 0;
}
