/* SPDX-License-Identifier: Apache-2.0 */
/* Running hooks inside the container: see hooks.h. */
#include "agent/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/io.h"

#define HOOK_STATE_MAX (1 << 20) /* what an unprivileged process may ask of a pipe */

static void exec_hook(const struct spec_hook *hook, int stdin_fd,
		      const struct seccomp_filter *filter)
{
	static char *const no_env[] = { NULL };
	char *const own_name[] = { hook->path, NULL };

	if (dup2(stdin_fd, STDIN_FILENO) >= 0) {
		(void)close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
		if (!filter || seccomp_install(filter, NULL) == 0)
			(void)execve(hook->path,
				     hook->args && hook->args[0] ? hook->args : own_name,
				     hook->env ? hook->env : no_env);
	}
	_exit(127);
}

/* The exit status as of waitpid(2); -1 with an error. */
static int wait_hook(const struct spec_hook *hook, pid_t pid, struct error **ret_error)
{
	_cleanup_close_ int pidfd = pidfd_open(pid, 0);
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
	int timeout = hook->timeout_seconds == 0 || hook->timeout_seconds > 2000000
			  ? -1
			  : (int)hook->timeout_seconds * 1000;
	bool late = pidfd >= 0 && poll(&poll_fd, 1, timeout) == 0;
	int status;

	if (late)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set_errno(ret_error, errno, "cannot wait for hook %s",
					       hook->path);
	if (late)
		return error_set(ret_error, ETIMEDOUT, "hook %s ran past specified timeout of %us",
				 hook->path, hook->timeout_seconds);
	return status;
}

static int run_hook(const struct spec_hook *hook, const char *state,
		    const struct seccomp_filter *filter, struct error **ret_error)
{
	_cleanup_close_ int read_fd = -1;
	_cleanup_close_ int write_fd = -1;
	int status;
	pid_t pid;

	if (pipe_open(&read_fd, &write_fd, ret_error) < 0)
		return error_wrap(ret_error, "hook %s", hook->path);
	/* The pipe takes the whole state at once: a hook may well not read it. */
	(void)set_nonblocking(write_fd, true);
	(void)fcntl(write_fd, F_SETPIPE_SZ, HOOK_STATE_MAX);
	if (write_all(write_fd, state, strlen(state)) < 0)
		return error_set_errno(ret_error, errno, "hook %s: the state", hook->path);
	pid = fork();
	if (pid < 0)
		return error_set_errno(ret_error, errno, "hook %s", hook->path);
	if (pid == 0)
		exec_hook(hook, read_fd, filter);
	close_fdp(&write_fd);
	write_fd = -1;
	status = wait_hook(hook, pid, ret_error);
	if (status < 0)
		return -1;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		_cleanup_free_ char *why = child_end_text(status);

		return error_set(ret_error, EIO, "error running hook %s: %s", hook->path, why);
	}
	return 0;
}

int agent_hooks_run(const struct spec_hook_list *list, const char *state,
		    const struct seccomp_filter *filter, struct error **ret_error)
{
	for (size_t i = 0; i < list->n_hooks; i++)
		if (run_hook(&list->hooks[i], state, filter, ret_error) < 0)
			return -1;
	return 0;
}
