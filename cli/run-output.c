/* SPDX-License-Identifier: Apache-2.0 */
/* The output of a container that nobody waits for: see run-output.h. */
#include "cli/run-output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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

int run_output_redirect(struct run_output *output, const char *directory, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/" RUN_OUTPUT_FILE, directory);

	output->out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	output->err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (output->out < 0 || output->err < 0)
		return error_set_errno(ret_error, errno, "cannot duplicate the standard output");
	if (run_output_replace(STDOUT_FILENO, path, O_WRONLY | O_CREAT | O_APPEND, ret_error) < 0)
		return -1;
	return dup2(STDOUT_FILENO, STDERR_FILENO) < 0
		   ? error_set_errno(ret_error, errno, "cannot redirect the standard error")
		   : 0;
}

void run_output_restore(const struct run_output *output)
{
	if (output->out < 0 || output->err < 0)
		return;
	(void)dup2(output->out, STDOUT_FILENO);
	(void)dup2(output->err, STDERR_FILENO);
}

void run_output_done(struct run_output *output)
{
	close_fdp(&output->out);
	close_fdp(&output->err);
}

void run_output_leave(struct run_output *output)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setsid();
	run_output_done(output);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		(void)run_output_replace(fd, "/dev/null", O_RDWR, NULL);
}
