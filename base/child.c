/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that are forked: see child.h. */
#include "base/child.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"

pid_t child_fork(int *ret_pipe, struct error **ret_error)
{
	_cleanup_close_ int reading = -1, writing = -1;
	pid_t pid;

	if (pipe_open(&reading, &writing, ret_error) < 0)
		return -1;
	pid = fork();
	if (pid < 0)
		return error_set_errno(ret_error, errno, "cannot start a process");
	*ret_pipe = pid == 0 ? TAKE_FD(writing) : TAKE_FD(reading);
	return pid;
}

void child_reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)signal(i, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

char *child_end_text(int status)
{
	const char *name;
	char *text;

	if (WIFEXITED(status))
		return xasprintf("exit status %d", WEXITSTATUS(status));
	name = sigdescr_np(WTERMSIG(status));
	if (!name)
		return xasprintf("signal %d", WTERMSIG(status));
	text = xasprintf("signal: %s", name);
	text[strlen("signal: ")] = (char)tolower(name[0]);
	return text;
}

int child_end(int code, int signal)
{
	const struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t mask;

	if (signal == 0)
		return code;
	switch (signal) {
	case SIGSTOP:
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU: /* would stop, not end */
		break;
	default:
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core, no pipe to a core handler */
		(void)sigaction(signal, &action, NULL);
		(void)kill(getpid(), signal);
		(void)sigemptyset(&mask);
		(void)sigaddset(&mask, signal);
		(void)sigprocmask(SIG_UNBLOCK, &mask, NULL);
		break;
	}
	/* Ignored by default, or process 1 of a namespace: the shell's notation. */
	return 128 + signal;
}
