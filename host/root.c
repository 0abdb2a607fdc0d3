/* SPDX-License-Identifier: Apache-2.0 */
/* The container's root directory: see root.h. */
#include "host/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/go-error.h"

/* O_PATH; -1 with errno, ELOOP for a symbolic link on the way from the bundle on. */
static int open_root(const char *bundle, const char *named)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_NO_SYMLINKS };
	_cleanup_close_ int bundle_fd = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (bundle_fd < 0)
		return -1;
	return (int)syscall(SYS_openat2, bundle_fd, named, &how, sizeof(how));
}

int root_find(const struct spec *spec, const char *bundle, char **ret_path,
	      struct error **ret_error)
{
	const char *named = spec->root_path;
	_cleanup_free_ char *path =
	    named[0] == '/' ? xstrdup(named) : xasprintf("%s/%s", bundle, named);
	_cleanup_close_ int fd = open_root(bundle, named);
	_cleanup_free_ char *opened = NULL;
	char *real;

	if (fd < 0 && errno == ELOOP)
		return error_set(ret_error, EINVAL,
				 "invalid rootfs: not an absolute path, or a symlink: %s", path);
	/* Of the directory that was looked at, whatever its path comes to name. */
	opened = fd < 0 ? NULL : xasprintf("/proc/self/fd/%d", fd);
	real = opened ? realpath(opened, NULL) : NULL;
	if (!real)
		return error_set_go(ret_error, errno, "invalid rootfs: stat %s", path);
	*ret_path = real;
	return 0;
}
