/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a file below certain directories: see beneath.h. */
#include "host/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

/* openat2(2): EAGAIN where something was renamed meanwhile. */
#define ATTEMPTS 16

/* The rest of path behind directory; NULL: it does not begin with it. */
static const char *rest_of(const char *path, const char *directory)
{
	const size_t length = strlen(directory);

	if (strncmp(path, directory, length) != 0 || (path[length] != '/' && path[length] != '\0'))
		return NULL;
	path += length;
	path += strspn(path, "/");
	return path[0] ? path : ".";
}

static int open_below(const char *directory, const char *path, int flags, mode_t mode)
{
	struct open_how how = { .flags = (unsigned int)(flags | O_CLOEXEC),
				.mode = flags & O_CREAT ? mode : 0,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	_cleanup_close_ int at =
	    open(directory[0] ? directory : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = -1;

	if (at < 0)
		return -1;
	for (int i = 0; i < ATTEMPTS; i++) {
		fd = (int)syscall(SYS_openat2, at, path, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd;
}

int beneath_open(const char *const *directories, const char *path, int flags, mode_t mode)
{
	int code = EXDEV;

	if (!directories)
		return open(path, flags | O_CLOEXEC, mode);
	for (; *directories; directories++) {
		const char *rest = rest_of(path, *directories);
		int fd = rest ? open_below(*directories, rest, flags, mode) : -1;

		if (fd >= 0)
			return fd;
		if (rest && errno != EXDEV)
			code = errno;
	}
	errno = code;
	return -1;
}
