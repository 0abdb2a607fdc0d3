/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting the child that becomes a container's process: see setup.h.
 *
 * The child is a fork of the agent, so it has the parsed config.json; it keeps
 * nothing else: no descriptor, no signal disposition, no log.  It is not
 * dumpable until it has executed the user's program: other processes of the
 * container, which see it when it joins them, can neither trace it nor look
 * at its descriptors.
 */
#include "agent/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/channel.h"
#include "agent/privileges.h"
#include "base/alloc.h"
#include "base/child.h"
#include "base/io.h"
#include "base/log.h"

static int check_namespaces(const struct spec *spec, uint64_t join_flags, struct error **ret_error)
{
	const struct spec_linux *l = &spec->linux_;

	for (size_t i = 0; i < SPEC_NS_COUNT; i++) {
		const char *name = spec_namespace_name((enum spec_namespace_type)i);

		if (i != SPEC_NS_NETWORK && l->namespaces[i].present && l->namespaces[i].path &&
		    !(join_flags & setup_join_flag(name)))
			return error_set(
			    ret_error, EINVAL,
			    "linux.namespaces: joining the %s namespace %s of the host "
			    "is not possible in a microVM",
			    name, l->namespaces[i].path);
	}
	if (l->namespaces[SPEC_NS_USER].present &&
	    (l->n_uid_mappings == 0 || l->n_gid_mappings == 0))
		return error_set(ret_error, EINVAL,
				 "user namespaces enabled, but no user namespace mappings found");
	return 0;
}

int setup_check_process(const struct spec_process *process, struct error **ret_error)
{
	if (!process->args || !process->args[0] || process->args[0][0] == '\0')
		return error_set(ret_error, EINVAL, "process.args must not be empty");
	if (!process->cwd || process->cwd[0] != '/')
		return error_set(ret_error, EINVAL, "process.cwd must be an absolute path");
	return 0;
}

int setup_check(const struct spec *spec, uint64_t join_flags, struct error **ret_error)
{
	const struct spec_linux *l = &spec->linux_;

	if (!spec->has_process)
		return error_set(ret_error, EINVAL, "process is required");
	if (setup_check_process(&spec->process, ret_error) < 0 ||
	    check_namespaces(spec, join_flags, ret_error) < 0)
		return -1;
	if ((spec->hostname || spec->domainname) && !l->namespaces[SPEC_NS_UTS].present)
		return error_set(ret_error, EINVAL,
				 "unable to set hostname without a private UTS namespace");
	if (l->has_intel_rdt)
		return error_set(ret_error, EINVAL, "linux.intelRdt is not supported in a microVM");
	return 0;
}

struct place {
	int fd, wanted;
};

/* All are out of the way before the first one is put in its place. */
static int put_in_place(struct place *places, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (places[i].fd >= 0)
			places[i].fd = fcntl(places[i].fd, F_DUPFD_CLOEXEC, SETUP_FIRST_FREE_FD);
		if (places[i].fd < 0)
			return -1;
	}
	(void)close_range(0, SETUP_FIRST_FREE_FD - 1, 0);
	for (size_t i = 0; i < n; i++)
		if (dup3(places[i].fd, places[i].wanted,
			 places[i].wanted < SETUP_FIRST_EXTRA_FD ? 0 : O_CLOEXEC) < 0)
			return -1;
	return close_range(SETUP_FIRST_FREE_FD, ~0u, 0);
}

/* Moves the descriptors to where setup.h says and closes all others. */
static int arrange_fds(const struct setup *setup)
{
	const struct place optional[] = { { setup->init_pidfd, SETUP_PIDFD },
					  { setup->network_fd, SETUP_NETWORK_FD },
					  { setup->parts.upper_fd, SETUP_UPPER_FD },
					  { setup->parts.merged_fd, SETUP_MERGED_FD } };
	struct place places[SETUP_FIRST_FREE_FD];
	size_t n = 0;

	for (int i = 0; i < SETUP_FIRST_EXTRA_FD; i++)
		places[n++] = (struct place){ setup->stdio[i], i };
	for (size_t i = 0; i < setup->n_extra; i++)
		places[n++] = (struct place){ setup->extra[i], SETUP_FIRST_EXTRA_FD + (int)i };
	places[n++] = (struct place){ setup->channel_fd, SETUP_CHANNEL_FD };
	for (size_t i = 0; i < ARRAY_SIZE(optional); i++)
		if (optional[i].fd >= 0)
			places[n++] = optional[i];
	return put_in_place(places, n);
}

static void __attribute__((noreturn)) run_child(const struct setup *setup)
{
	_cleanup_error_ struct error *error = NULL;
	int result;

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	child_reset_signals();
	log_set_fd(-1);
	if (arrange_fds(setup) < 0)
		_exit(1);
	result = setup->exec ? setup_exec(setup, &error) : setup_init(setup, &error);
	if (result == 0)
		(void)setup_become(setup, &error);
	(void)channel_send(SETUP_CHANNEL_FD, CHANNEL_ERROR, error->code, error->message, -1, NULL);
	_exit(1);
}

/* Children of the caller are born in the pid namespace of target_pidfd, or in
 * its own again. */
static int aim_children(int target_pidfd, struct error **ret_error)
{
	_cleanup_close_ int own_fd = -1;

	if (target_pidfd < 0)
		own_fd = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	if (setns(target_pidfd < 0 ? own_fd : target_pidfd, CLONE_NEWPID) < 0)
		return error_set_errno(ret_error, errno, "cannot enter the pid namespace");
	return 0;
}

int setup_spawn(const struct setup *setup, int cgroup_fd, pid_t *ret_pid, int *ret_pidfd,
		struct error **ret_error)
{
	bool user = setup->spec->linux_.namespaces[SPEC_NS_USER].present;
	uint64_t flags = setup->exec ? 0 : user ? CLONE_NEWNS : setup_clone_flags(setup->spec);
	bool aim = setup->exec || (setup->join_flags & CLONE_NEWPID);
	int pidfd = -1, code;
	pid_t pid;

	if (aim && aim_children(setup->init_pidfd, ret_error) < 0)
		return -1;
	pid = setup_clone(flags, cgroup_fd, &pidfd);
	code = errno;
	if (pid == 0)
		run_child(setup);
	/* Without its own pid namespace the agent could start nothing any more. */
	if (aim && aim_children(-1, ret_error) < 0) {
		log_error("%s", (*ret_error)->message);
		abort();
	}
	if (pid < 0)
		return error_set_errno(ret_error, code, "cannot start the container's process");
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return 0;
}

static int write_map(pid_t pid, const char *file, const struct spec_id_mapping *mappings, size_t n,
		     struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/%s", (int)pid, file);
	_cleanup_free_ char *text = xstrdup("");

	for (size_t i = 0; i < n; i++) {
		char *longer = xasprintf("%s%u %u %u\n", text, mappings[i].container_id,
					 mappings[i].host_id, mappings[i].size);

		free(text);
		text = longer;
	}
	return write_file(path, text, ret_error);
}

int setup_map_ids(const struct spec *spec, pid_t pid, struct error **ret_error)
{
	const struct spec_linux *l = &spec->linux_;

	if (write_map(pid, "uid_map", l->uid_mappings, l->n_uid_mappings, ret_error) < 0)
		return -1;
	return write_map(pid, "gid_map", l->gid_mappings, l->n_gid_mappings, ret_error);
}
