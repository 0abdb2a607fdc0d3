/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that are forked: see child.h. */
#include "base/child.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

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
