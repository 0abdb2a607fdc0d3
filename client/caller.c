/* SPDX-License-Identifier: Apache-2.0 */
/* What callers ask for: see caller.h. */
#include "client/caller.h"

#include <errno.h>
#include <string.h>
#include <sys/pidfd.h>

#include "base/alloc.h"
#include "base/io.h"

int caller_write_pid(const char *path, pid_t pid, struct error **ret_error)
{
	_cleanup_free_ char *text = xasprintf("%d", pid);

	return path ? write_file_atomic(path, text, strlen(text), 0644, ret_error) : 0;
}

int caller_send_pidfd(const char *path, pid_t pid, struct error **ret_error)
{
	static const char name[] = "pidfd";
	_cleanup_close_ int pidfd = -1, fd = -1;

	if (!path)
		return 0;
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0)
		return error_set_errno(ret_error, errno, "cannot open a pidfd of process %d",
				       (int)pid);
	fd = unix_connect(path, ret_error);
	if (fd < 0)
		return error_wrap(ret_error, "--pidfd-socket");
	if (send_with_fds(fd, name, strlen(name), &pidfd, 1) < 0)
		return error_set_errno(ret_error, errno, "--pidfd-socket: cannot send to %s", path);
	return 0;
}

int caller_check_preserve_fds(uint64_t n_fds, struct error **ret_error)
{
	if (n_fds == 0)
		return 0;
	return error_set(
	    ret_error, ENOTSUP,
	    "--preserve-fds %llu: descriptors of the host cannot reach the guest: only "
	    "0 is supported",
	    (unsigned long long)n_fds);
}
