/* SPDX-License-Identifier: Apache-2.0 */
/* Processes in namespaces of their own: see setup.h. */
#include "agent/setup.h"

#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
	const char *name;
	uint64_t clone_flag;
} namespaces[SPEC_NS_COUNT] = {
	[SPEC_NS_PID] = { "pid", CLONE_NEWPID },
	/* One with a path is another container's (joined), or the machine's own
	 * (setup->network_fd): what the host's path has, that one is given. */
	[SPEC_NS_NETWORK] = { "network", CLONE_NEWNET },
	[SPEC_NS_MOUNT] = { "mount", 0 /* always */ },
	[SPEC_NS_IPC] = { "ipc", CLONE_NEWIPC },
	[SPEC_NS_UTS] = { "uts", CLONE_NEWUTS },
	[SPEC_NS_USER] = { "user", 0 /* in a second step */ },
	[SPEC_NS_CGROUP] = { "cgroup", 0 /* from within the cgroup */ },
	[SPEC_NS_TIME] = { "time", 0 },
};

uint64_t setup_clone_flags(const struct spec *spec)
{
	uint64_t flags = CLONE_NEWNS;

	for (size_t i = 0; i < SPEC_NS_COUNT; i++)
		if (spec->linux_.namespaces[i].present && !spec->linux_.namespaces[i].path)
			flags |= namespaces[i].clone_flag;
	return flags;
}

uint64_t setup_join_flag(const char *type)
{
	for (size_t i = 0; i < SPEC_NS_COUNT; i++)
		if (strcmp(namespaces[i].name, type) == 0)
			return namespaces[i].clone_flag;
	return 0;
}

pid_t setup_clone(uint64_t flags, int cgroup_fd, int *ret_pidfd)
{
	struct clone_args args = {
		.flags = flags,
		/* with CLONE_PARENT the caller's own exit signal goes on */
		.exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
	};

	if (ret_pidfd) {
		args.flags |= CLONE_PIDFD;
		args.pidfd = (uintptr_t)ret_pidfd;
	}
	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)(unsigned int)cgroup_fd;
	}
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}
