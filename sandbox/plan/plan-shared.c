/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces that have a path: see container-plan.h.
 *
 * The path is one of the host, and the host has one process for all containers of a
 * sandbox: the VMM.  What a caller means by that process's ipc namespace, say, is the
 * main container's in the guest.  The network alone is a real one: the VMM lives in it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "sandbox/plan/container-plan.h"

/* As /proc/PID/ns names them. */
static const char *const links[SPEC_NS_COUNT] = {
	[SPEC_NS_PID] = "pid",	     [SPEC_NS_NETWORK] = "net", [SPEC_NS_MOUNT] = "mnt",
	[SPEC_NS_IPC] = "ipc",	     [SPEC_NS_UTS] = "uts",	[SPEC_NS_USER] = "user",
	[SPEC_NS_CGROUP] = "cgroup", [SPEC_NS_TIME] = "time",
};

static bool is_process_link(const char *path, pid_t pid, enum spec_namespace_type type)
{
	_cleanup_free_ char *link = xasprintf("/proc/%d/ns/%s", (int)pid, links[type]);

	return strcmp(path, link) == 0;
}

/* Do both lead to one namespace? */
static bool is_same(const char *path, const char *other)
{
	struct stat a, b;

	return stat(path, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

static int refuse(enum spec_namespace_type type, const char *path, struct error **ret_error)
{
	return error_set(ret_error, ENOTSUP,
			 "linux.namespaces: a microVM cannot join the %s namespace %s of the host",
			 spec_namespace_name(type), path);
}

static int check_network(const struct container_plan_request *request, bool *ret_shared,
			 struct error **ret_error)
{
	const struct spec_namespace *network = &request->spec->linux_.namespaces[SPEC_NS_NETWORK];
	_cleanup_free_ char *machine = xasprintf("/proc/%d/ns/net", (int)request->sandbox_pid);
	/* Absent: the host's, where we are. */
	const char *path = network->present ? network->path : "/proc/self/ns/net";

	if (!path || is_same(path, machine)) {
		*ret_shared = path != NULL;
		return 0;
	}
	return error_set(ret_error, ENOTSUP,
			 "linux.namespaces: the network namespace %s is not that of the "
			 "container's sandbox (%s)",
			 path, machine);
}

int plan_shared(const struct container_plan_request *request, bool ret_shared[SPEC_NS_COUNT],
		struct error **ret_error)
{
	const struct spec_namespace *namespaces = request->spec->linux_.namespaces;
	bool shared[SPEC_NS_COUNT] = { false };

	for (enum spec_namespace_type i = 0; i < SPEC_NS_COUNT; i++) {
		if (!namespaces[i].path || i == SPEC_NS_NETWORK)
			continue;
		if (!request->sandbox_pid || i == SPEC_NS_MOUNT ||
		    !is_process_link(namespaces[i].path, request->sandbox_pid, i))
			return refuse(i, namespaces[i].path, ret_error);
		shared[i] = true;
	}
	if (request->sandbox_pid && check_network(request, &shared[SPEC_NS_NETWORK], ret_error) < 0)
		return -1;
	memcpy(ret_shared, shared, sizeof(shared));
	return 0;
}
