/* SPDX-License-Identifier: Apache-2.0 */
/* The output of a container that nobody waits for: see run-output.h. */
#include "cli/run-output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "runtime-spec/state.h"

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

int run_input_make(const char *directory, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/" RUN_INPUT_FILE, directory);

	return mkfifo(path, 0600) < 0 ? error_set_errno(ret_error, errno, "cannot make %s", path)
				      : 0;
}

int run_output_open(const char *root, const char *id, int *ret_fd, struct error **ret_error)
{
	_cleanup_free_ char *path = state_path(root, id, RUN_OUTPUT_FILE);
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT)
		return error_set(ret_error, ENOENT,
				 "container %s keeps no output: only containers of images that "
				 "are run with -d do",
				 id);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", path);
	*ret_fd = fd;
	return 0;
}

/* Copies what there is by now from *at on.  What is no longer there is a hole (copier_keep()),
 * maybe since a moment ago. */
int run_output_copy(int fd, off_t *at, struct error **ret_error)
{
	char bytes[65536];
	off_t data;
	ssize_t n;

	while ((data = lseek(fd, *at, SEEK_DATA)) >= 0) {
		n = pread(fd, bytes, sizeof(bytes), data);
		if (n < 0)
			return error_set_errno(ret_error, errno, "cannot read the output");
		if (lseek(fd, data, SEEK_DATA) != data)
			continue;
		if (write_all(STDOUT_FILENO, bytes, (size_t)n) < 0)
			return error_set_errno(ret_error, errno, "cannot write the output");
		*at = data + n;
	}
	return errno == ENXIO ? 0 : error_set_errno(ret_error, errno, "cannot read the output");
}
