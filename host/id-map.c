/* SPDX-License-Identifier: Apache-2.0 */
/* Idmapped mounts: see id-map.h. */
#include "host/id-map.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/io.h"

/* Holds a new user namespace as long as its parent wants it, or is there. */
static void __attribute__((noreturn)) hold(int ready)
{
	struct pollfd reader = { .fd = ready };

	if (unshare(CLONE_NEWUSER) < 0)
		_exit(1);
	(void)!write(ready, "", 1);
	(void)poll(&reader, 1, -1);
	_exit(0);
}

static int write_map(pid_t pid, const char *file, const char *map, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/%s", (int)pid, file);

	return write_file(path, map, ret_error);
}

/* The holder's, mapped. */
static int take_namespace(pid_t pid, int ready, const char *uid_map, const char *gid_map,
			  struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/ns/user", (int)pid);
	char byte;
	int fd;

	if (read_all(ready, &byte, sizeof(byte)) != (ssize_t)sizeof(byte))
		return error_set(ret_error, EPERM, "cannot make a user namespace");
	if (write_map(pid, "uid_map", uid_map, ret_error) < 0 ||
	    write_map(pid, "gid_map", gid_map, ret_error) < 0)
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", path);
	return fd;
}

int id_map_open(const char *uid_map, const char *gid_map, struct error **ret_error)
{
	_cleanup_close_ int ready = -1;
	const pid_t pid = child_fork(&ready, ret_error);
	int fd;

	if (pid < 0)
		return -1;
	if (pid == 0)
		hold(ready);
	fd = take_namespace(pid, ready, uid_map, gid_map, ret_error);
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return fd;
}

int id_map_mount(int fd, int map_fd, bool recursive, struct error **ret_error)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (__u64)map_fd };

	if (mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr,
			  sizeof(attr)) < 0)
		return error_set_errno(ret_error, errno,
				       errno == EINVAL
					   ? "the file system does not take idmapped mounts"
					   : "cannot map the mount's ids");
	return 0;
}
