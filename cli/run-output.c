/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of a container that nobody waits for: see run-output.h. */
#include "cli/run-output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"

int run_output_replace(int fd, const char *path, int flags, struct error **ret_error)
{
	_cleanup_close_ int opened = open(path, flags | O_CLOEXEC | O_NOCTTY, 0600);

	if (opened < 0 || dup2(opened, fd) < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", path);
	return 0;
}

void run_output_leave(void)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setsid();
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		(void)run_output_replace(fd, "/dev/null", O_RDWR, NULL);
}

int run_input_make(const char *directory, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/" RUN_INPUT_FILE, directory);

	return mkfifo(path, 0600) < 0 ? error_set_errno(ret_error, errno, "cannot make %s", path)
				      : 0;
}
