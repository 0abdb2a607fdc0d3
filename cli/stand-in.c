/* SPDX-License-Identifier: Apache-2.0 */
/* Standing for a container: see stand-in.h. */
#include "cli/stand-in.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "cli/attach.h"

/* The caller's pipes are the server's now, and must end with the program. */
static void leave_caller(int slave)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)setsid();
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		(void)dup2(null, fd);
	log_set_fd(-1);
	if (slave >= 0)
		(void)ioctl(slave, TIOCSCTTY, 0);
}

static void __attribute__((noreturn)) run(struct handle *handle, int slave, int ready)
{
	const struct attachment attachment = {
		.handle = handle, .exec_id = "", .master = -1, .slave = slave
	};
	struct error *error = NULL;
	unsigned status;

	leave_caller(slave);
	/* Not the verb's, nor its lock. */
	handle_reconnect(handle);
	close_fdp(&handle->lock_fd);
	handle->lock_fd = -1;
	(void)close(ready);
	_exit(attach_run(&attachment, &status, &error) < 0 ? 255 : (int)status);
}

int stand_in(struct handle *handle, int slave, pid_t *ret_pid, struct error **ret_error)
{
	_cleanup_close_ int ready = -1;
	const pid_t pid = child_fork(&ready, ret_error);
	char byte;

	if (pid < 0)
		return -1;
	if (pid == 0)
		run(handle, slave, ready);
	/* Its connection is there: an end that comes at once is not lost. */
	(void)read_all(ready, &byte, sizeof(byte));
	*ret_pid = pid;
	return 0;
}
