/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child's road to a container's init, up to the pivot: see setup.h.
 *
 * Everything that works through paths is done before the pivot, with our own
 * /proc and /dev, and with destinations resolved inside the root: nothing of
 * the image is trusted to be what it is called.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/channel.h"
#include "agent/devices.h"
#include "agent/inroot.h"
#include "agent/kernel-settings.h"
#include "agent/mounts.h"
#include "agent/privileges.h"
#include "agent/scheduling.h"
#include "agent/setup.h"
#include "agent/terminal.h"
#include "agent/time-namespace.h"
#include "base/alloc.h"

static bool wants(const struct spec *spec, enum spec_namespace_type type)
{
	return spec->linux_.namespaces[type].present && !spec->linux_.namespaces[type].path;
}

static char *nodes_path(const struct setup *setup)
{
	return xasprintf("%s/nodes", setup->config->stage_dir);
}

/* The layers are mounted by root proper; the container's namespaces belong to
 * the user namespace: hence a second process, a sibling of this one. */
static int enter_user_namespace(const struct setup *setup, int *root_fd, struct error **ret_error)
{
	const struct spec_process *limited = setup_limited(setup);
	_cleanup_free_ char *nodes = nodes_path(setup);
	pid_t pid;

	if (rlimits_raise(limited->rlimits, limited->n_rlimits, ret_error) < 0 ||
	    devices_prepare(setup->spec, nodes, ret_error) < 0)
		return -1;
	pid = setup_clone(CLONE_PARENT | CLONE_NEWUSER | setup_clone_flags(setup->spec), -1, NULL);

	if (pid < 0)
		return error_set_errno(ret_error, errno, "cannot make a user namespace");
	if (pid > 0) {
		(void)channel_send(SETUP_CHANNEL_FD, CHANNEL_PROCESS, pid, NULL, -1, NULL);
		_exit(0);
	}
	if (channel_expect(SETUP_CHANNEL_FD, CHANNEL_MAPPED, ret_error) < 0)
		return -1;
	if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return error_set_errno(ret_error, errno,
				       "cannot become root of the user namespace");
	close_fdp(root_fd);
	*root_fd = -1;
	return root_rebind(setup->config, root_fd, ret_error);
}

static int set_names(const struct spec *spec, struct error **ret_error)
{
	if (spec->hostname && sethostname(spec->hostname, strlen(spec->hostname)) < 0)
		return error_set_errno(ret_error, errno, "sethostname");
	if (spec->domainname && setdomainname(spec->domainname, strlen(spec->domainname)) < 0)
		return error_set_errno(ret_error, errno, "setdomainname");
	return 0;
}

static int open_terminal(const struct setup *setup, int root_fd, struct error **ret_error)
{
	_cleanup_close_ int master_fd = -1;
	_cleanup_close_ int slave_fd = -1;
	uint32_t width = setup->width ? setup->width : setup->process->console_width;
	uint32_t height = setup->height ? setup->height : setup->process->console_height;

	if (agent_terminal_open(root_fd, width, height, &master_fd, &slave_fd, ret_error) < 0)
		return -1;
	if (!setup->exec && agent_terminal_bind_console(root_fd, slave_fd, ret_error) < 0)
		return -1;
	if (channel_send(SETUP_CHANNEL_FD, CHANNEL_TERMINAL, 0, NULL, master_fd, ret_error) < 0 ||
	    agent_terminal_control(slave_fd, ret_error) < 0)
		return -1;
	for (int i = 0; i < 3; i++)
		if (dup2(slave_fd, i) < 0)
			return error_set_errno(ret_error, errno, "cannot use the terminal");
	return 0;
}

/* Null streams are the container's own /dev/null (the agent's lies outside of
 * its root). */
static int reopen_null_streams(struct error **ret_error)
{
	_cleanup_close_ int null_fd = -1;
	struct stat st;

	for (int i = 0; i < 3; i++) {
		if (fstat(i, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
			continue;
		if (null_fd < 0)
			null_fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (null_fd < 0 || fstat(null_fd, &st) < 0 || st.st_rdev != makedev(1, 3))
			continue; /* a container without a null device keeps ours */
		(void)fcntl(null_fd, F_SETFL, 0);
		if (dup2(null_fd, i) < 0)
			return error_set_errno(ret_error, errno, "cannot reopen /dev/null");
	}
	return 0;
}

/* What fills the root while it is writable and our own /proc is in reach. */
static int furnish_root(const struct setup *setup, int root_fd, struct error **ret_error)
{
	const struct spec *spec = setup->spec;
	_cleanup_free_ char *nodes = wants(spec, SPEC_NS_USER) ? nodes_path(setup) : NULL;
	_cleanup_close_ int cwd_fd = -1;

	if (agent_mounts_make(setup->config, setup->files, spec, root_fd, ret_error) < 0)
		return -1;
	/* As runc: a /dev that is bound in is taken as it is. */
	if (!agent_mounts_bind_dev(spec) && devices_make(spec, root_fd, nodes, ret_error) < 0)
		return -1;
	/* As runc does for a container's first process. */
	if (inroot_make_directories(root_fd, setup->process->cwd, 0755, &cwd_fd, ret_error) < 0)
		return error_wrap(ret_error, "cwd");
	if (setup->process->terminal && open_terminal(setup, root_fd, ret_error) < 0)
		return -1;
	if (sysctl_set(spec->linux_.sysctl, spec->linux_.n_sysctl, ret_error) < 0)
		return -1;
	if (agent_mounts_finish(spec, root_fd, ret_error) < 0 ||
	    protect_paths(spec->linux_.readonly_paths, root_fd, ret_error) < 0 ||
	    mask_paths(spec->linux_.masked_paths, root_fd, ret_error) < 0)
		return -1;
	return spec->root_readonly ? root_set_readonly(root_fd, ret_error) : 0;
}

static int set_oom_score(const struct setup *setup, struct error **ret_error)
{
	if (!setup->process->has_oom_score_adj)
		return 0;
	return oom_score_adj_set(setup->process->oom_score_adj, ret_error);
}

static int set_personality(const struct spec *spec, struct error **ret_error)
{
	const char *domain = spec->linux_.personality_domain;

	if (domain && personality(strcmp(domain, "LINUX32") == 0 ? PER_LINUX32 : PER_LINUX) < 0)
		return error_set_errno(ret_error, errno, "cannot set the personality");
	return 0;
}

/* The pid namespace aside, in which we were born. The machine's network namespace is not a user
 * namespace's: later we might not enter it. */
static int join_namespaces(const struct setup *setup, struct error **ret_error)
{
	uint64_t flags = setup->join_flags & ~(uint64_t)CLONE_NEWPID;

	if (flags && setns(SETUP_PIDFD, (int)flags) < 0)
		return error_set_errno(ret_error, errno, "cannot join the sandbox's namespaces");
	if (setup->network_fd >= 0 && setns(SETUP_NETWORK_FD, CLONE_NEWNET) < 0)
		return error_set_errno(ret_error, errno, "cannot enter the machine's network");
	return 0;
}

/* The agent keeps them: after the pivot there is no way to them any more. */
static int send_parts(const struct setup *setup, int root_fd, struct error **ret_error)
{
	struct root_parts parts = ROOT_PARTS_NONE;
	int result;

	if (setup->files->n_layers == 0)
		return 0;
	if (root_open_parts(setup->config, setup->files, root_fd, &parts, ret_error) < 0)
		return -1;
	result = channel_send(SETUP_CHANNEL_FD, CHANNEL_UPPER, 0, NULL, parts.upper_fd, ret_error);
	if (result == 0)
		result = channel_send(SETUP_CHANNEL_FD, CHANNEL_MERGED, 0, NULL, parts.merged_fd,
				      ret_error);
	root_parts_close(&parts);
	return result;
}

int setup_init(const struct setup *setup, struct error **ret_error)
{
	const struct spec *spec = setup->spec;
	_cleanup_close_ int root_fd = -1;

	if (set_oom_score(setup, ret_error) < 0 || join_namespaces(setup, ret_error) < 0 ||
	    root_assemble(setup->config, setup->files, spec, &root_fd, ret_error) < 0 ||
	    send_parts(setup, root_fd, ret_error) < 0)
		return -1;
	if (wants(spec, SPEC_NS_TIME) && time_namespace_enter(&spec->linux_, ret_error) < 0)
		return -1;
	/* Of a network that others may be in, too, while we may: it is not a user namespace's. */
	if (!wants(spec, SPEC_NS_NETWORK) && loopback_up(ret_error) < 0)
		return -1;
	if (wants(spec, SPEC_NS_USER) && enter_user_namespace(setup, &root_fd, ret_error) < 0)
		return -1;
	if (setsid() < 0)
		return error_set_errno(ret_error, errno, "setsid");
	/* Asked for or not: the cgroups above are the guest's, of no use to anyone. */
	if (unshare(CLONE_NEWCGROUP) < 0)
		return error_set_errno(ret_error, errno, "cannot make a cgroup namespace");
	if (wants(spec, SPEC_NS_NETWORK) && loopback_up(ret_error) < 0)
		return -1;
	if (set_names(spec, ret_error) < 0 || furnish_root(setup, root_fd, ret_error) < 0 ||
	    root_pivot(root_fd, ret_error) < 0)
		return -1;
	if (spec->linux_.rootfs_propagation &&
	    root_set_propagation(spec->linux_.rootfs_propagation, ret_error) < 0)
		return -1;
	if (reopen_null_streams(ret_error) < 0)
		return -1;
	return set_personality(spec, ret_error);
}

int setup_exec(const struct setup *setup, struct error **ret_error)
{
	bool user = wants(setup->spec, SPEC_NS_USER);
	bool time = wants(setup->spec, SPEC_NS_TIME);
	const struct spec_process *limited = setup_limited(setup);
	_cleanup_close_ int root_fd = -1;

	if (user && rlimits_raise(limited->rlimits, limited->n_rlimits, ret_error) < 0)
		return -1;
	if (set_oom_score(setup, ret_error) < 0 ||
	    (setup->process->initial_cpus &&
	     scheduling_keep_to(setup->process->initial_cpus, ret_error) < 0))
		return -1;
	if (setns(SETUP_PIDFD, CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET |
				   CLONE_NEWCGROUP | (user ? CLONE_NEWUSER : 0) |
				   (time ? CLONE_NEWTIME : 0)) < 0)
		return error_set_errno(ret_error, errno, "cannot join the container's namespaces");
	if (user && (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
		return error_set_errno(ret_error, errno,
				       "cannot become root of the user namespace");
	if (setsid() < 0)
		return error_set_errno(ret_error, errno, "setsid");
	root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return error_set_errno(ret_error, errno, "cannot open the container's root");
	if (setup->process->terminal && open_terminal(setup, root_fd, ret_error) < 0)
		return -1;
	if (reopen_null_streams(ret_error) < 0)
		return -1;
	return set_personality(setup->spec, ret_error);
}
