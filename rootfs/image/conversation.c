/* SPDX-License-Identifier: Apache-2.0 */
/* A program that answers: see conversation.h. */
#include "rootfs/image/conversation.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"

extern char **environ;

static int start(char *const *argv, int input, int output, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t defaults;
	int code;

	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawnattr_init(&attributes);
	(void)sigemptyset(&defaults);
	(void)sigaddset(&defaults, SIGPIPE);
	(void)posix_spawnattr_setsigdefault(&attributes, &defaults);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
	(void)posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
	(void)posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	code = posix_spawn(ret_pid, argv[0], &actions, &attributes, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attributes);
	return code;
}

/* A socket, so that one that does not read its input costs no SIGPIPE. */
static void say(int fd, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		const ssize_t n = send(fd, text, left, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return;
		text += n > 0 ? n : 0;
		left -= n > 0 ? (size_t)n : 0;
	}
}

int converse(char *const *argv, const char *input, size_t output_max, char **ret_output,
	     int *ret_status, struct error **ret_error)
{
	_cleanup_close_ int ours = -1, theirs = -1, from = -1, to = -1;
	_cleanup_free_ char *output = NULL;
	/* Where SIGCHLD is ignored no status is to be had (ECHILD): the answer tells. */
	int status = 0, code, result;
	pid_t pid;

	if (unix_pair(&ours, &theirs, ret_error) < 0 || pipe_open(&from, &to, ret_error) < 0)
		return -1;
	code = start(argv, theirs, to, &pid);
	if (code != 0)
		return error_set_errno(ret_error, code, "cannot run %s", argv[0]);
	(void)close(TAKE_FD(theirs));
	(void)close(TAKE_FD(to));
	say(ours, input);
	(void)close(TAKE_FD(ours));
	result = read_file_fd(from, argv[0], output_max, &output, NULL, ret_error);
	(void)close(TAKE_FD(from));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (result < 0)
		return -1;
	*ret_output = TAKE_PTR(output);
	*ret_status = status;
	return 0;
}
