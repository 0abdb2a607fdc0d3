/* SPDX-License-Identifier: Apache-2.0 */
/* What callers ask for: see caller.h. */
#include "client/caller.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"

int caller_write_pid(const char *path, pid_t pid, struct error **ret_error)
{
	_cleanup_free_ char *text = xasprintf("%d", pid);

	return path ? write_file_atomic(path, text, strlen(text), 0644, ret_error) : 0;
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
