/* SPDX-License-Identifier: Apache-2.0 */
/* Time namespaces: see time-namespace.h. */
#include "agent/time-namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/sched.h>
#include <sched.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"

static int write_offset(const char *clock, const struct spec_time_offset *offset,
			struct error **ret_error)
{
	_cleanup_free_ char *line = NULL;

	if (!offset->present)
		return 0;
	line = xasprintf("%s %" PRId64 " %" PRIu32 "\n", clock, offset->secs, offset->nanosecs);
	if (write_file("/proc/self/timens_offsets", line, ret_error) < 0)
		return error_wrap(ret_error, "linux.timeOffsets.%s", clock);
	return 0;
}

int time_namespace_enter(const struct spec_linux *linux_, struct error **ret_error)
{
	_cleanup_close_ int fd = -1;

	if (unshare(CLONE_NEWTIME) < 0)
		return error_set_errno(ret_error, errno,
				       "cannot make a time namespace in the guest's kernel");
	/* Before anybody is in it: unshare(2) has it for children only. */
	if (write_offset("monotonic", &linux_->monotonic, ret_error) < 0 ||
	    write_offset("boottime", &linux_->boottime, ret_error) < 0)
		return -1;
	fd = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWTIME) < 0)
		return error_set_errno(ret_error, errno, "cannot enter the time namespace");
	return 0;
}
