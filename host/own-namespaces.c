/* SPDX-License-Identifier: Apache-2.0 */
/* An ordinary user's namespaces: see own-namespaces.h. */
#include "host/own-namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/io.h"

#define REASON_MAX 512

static bool get_capabilities(struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capget, &header, data) == 0;
}

bool own_namespaces_are_needed(void)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return !get_capabilities(data) ||
	       !(data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN));
}

static int write_map(const char *file, unsigned id, struct error **ret_error)
{
	_cleanup_free_ char *line = xasprintf("%u %u 1\n", id, id);

	return write_file(file, line, ret_error);
}

int own_namespaces_enter(struct error **ret_error)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return error_set_errno(ret_error, errno, "cannot make a user namespace");
	/* user_namespaces(7): else the group's map is refused. */
	if (write_file("/proc/self/setgroups", "deny", ret_error) < 0 ||
	    write_map("/proc/self/uid_map", uid, ret_error) < 0 ||
	    write_map("/proc/self/gid_map", gid, ret_error) < 0)
		return error_wrap(ret_error, "cannot set up a user namespace");
	/* Where a security module has taken what it is for, nothing but this tells. */
	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		return error_set_errno(ret_error, errno, "cannot mount in a user namespace");
	return 0;
}

static void __attribute__((noreturn)) try_it(int fd)
{
	struct error *error = NULL;

	if (own_namespaces_enter(&error) < 0)
		(void)!write(fd, error->message, strlen(error->message));
	_exit(0);
}

int own_namespaces_try(struct error **ret_error)
{
	_cleanup_close_ int pipe = -1;
	const pid_t pid = child_fork(&pipe, ret_error);
	char reason[REASON_MAX];
	ssize_t n;

	if (pid < 0)
		return -1;
	if (pid == 0)
		try_it(pipe);
	n = read_all(pipe, reason, sizeof(reason) - 1);
	(void)waitpid(pid, NULL, 0);
	if (n == 0)
		return 0;
	reason[n < 0 ? 0 : n] = '\0';
	return error_set(ret_error, EPERM, "%s", reason);
}

void own_namespaces_pass_on(void)
{
	static const unsigned passed[] = { CAP_SYS_ADMIN, CAP_SYS_CHROOT, CAP_SETPCAP };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	/* Root's programs have them anyway. */
	if (geteuid() == 0 || !get_capabilities(data))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		data[CAP_TO_INDEX(passed[i])].inheritable |=
		    data[CAP_TO_INDEX(passed[i])].permitted & CAP_TO_MASK(passed[i]);
	(void)syscall(SYS_capset, &header, data);
	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, passed[i], 0, 0);
}
