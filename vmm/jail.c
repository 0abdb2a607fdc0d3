/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up privileges: see jail.h. */
#include "vmm/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/log.h"

/* Down to those in keep (as far as the thread has them). */
static int drop_capabilities(const unsigned *keep, size_t n_keep, struct error **ret_error)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct had[_LINUX_CAPABILITY_U32S_3] = { 0 };
	struct __user_cap_data_struct kept[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (n_keep > 0 && syscall(SYS_capget, &header, had) < 0)
		return error_set_errno(ret_error, errno, "cannot get the capabilities");
	for (size_t i = 0; i < n_keep; i++) {
		unsigned word = CAP_TO_INDEX(keep[i]);
		uint32_t bit = CAP_TO_MASK(keep[i]);

		kept[word].permitted |= had[word].permitted & bit;
		kept[word].effective |= had[word].effective & bit;
	}

	/* The bounding set needs CAP_SETPCAP; without it no_new_privs does the same. */
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &header, kept) < 0)
		return error_set_errno(ret_error, errno, "cannot drop capabilities");
	return 0;
}

/* A session keyring of our own, empty.  Kernels and container managers without
 * keyctl(2) have no keyring to lose. */
static int drop_keyring(struct error **ret_error)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS &&
	    errno != EPERM)
		return error_set_errno(ret_error, errno, "cannot join a new session keyring");
	return 0;
}

int jail_keep(const unsigned *keep, size_t n_keep, struct error **ret_error)
{
	const struct rlimit no_core = { 0, 0 };

	if (drop_keyring(ret_error) < 0 || drop_capabilities(keep, n_keep, ret_error) < 0)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set_errno(ret_error, errno, "cannot set PR_SET_NO_NEW_PRIVS");
	if (setrlimit(RLIMIT_CORE, &no_core) < 0)
		return error_set_errno(ret_error, errno, "cannot set RLIMIT_CORE to 0");
	return 0;
}

int jail_leave_namespaces(struct error **ret_error)
{
	static const int kinds[] = { CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP };

	/* EINVAL: this kernel was built without some. */
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (unshare(kinds[i]) < 0 && errno != EPERM && errno != EINVAL)
			return error_set_errno(ret_error, errno,
					       "cannot leave the host's namespaces");
	return 0;
}

/* Of what the VMM has none, so that code in its place has none either. */
static int set_limits(struct error **ret_error)
{
	static const struct {
		__rlimit_resource_t resource;
		const char *name;
	} limits[] = {
		{ RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK" },
		{ RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE" },
		{ RLIMIT_RTPRIO, "RLIMIT_RTPRIO" },
		{ RLIMIT_NICE, "RLIMIT_NICE" },
	};
	const struct rlimit none = { 0, 0 };

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		if (setrlimit(limits[i].resource, &none) < 0)
			return error_set_errno(ret_error, errno, "cannot set %s to 0",
					       limits[i].name);
	return 0;
}

int jail_prepare(const struct seccomp_call *const *lists, size_t n_lists, struct error **ret_error)
{
	tzset(); /* libc reads the time zone's file for the first log line otherwise */
	return seccomp_prepare(lists, n_lists, ret_error);
}

/* The mount that a file is on; 0: not known. */
static uint64_t mount_of(int fd)
{
	struct statx st;

	return statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0 ? 0 : st.stx_mnt_id;
}

/* If root_fd is the mount namespace's own root (host/stage.h), goes there, and the host's, which
 * is below it, is unmounted: then no way leads there, from whatever directory.  Else that
 * namespace is somebody else's, too. */
static int leave_host(int root_fd, bool *ret_done, struct error **ret_error)
{
	_cleanup_close_ int namespace = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int root = -1;

	/* setns(2) wants directories that no other thread has, not even one that is about to end.
	 */
	if (namespace < 0 || host < 0 || unshare(CLONE_FS) < 0 || setns(namespace, CLONE_NEWNS) < 0)
		return error_set_errno(ret_error, errno, "cannot find the namespace's root");
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return error_set_errno(ret_error, errno, "cannot open the namespace's root");
	*ret_done = mount_of(root) != 0 && mount_of(root) == mount_of(root_fd) &&
		    mount_of(root) != mount_of(host);
	if (*ret_done && (fchdir(host) < 0 || umount2(".", MNT_DETACH) < 0))
		return error_set_errno(ret_error, errno, "cannot unmount the host's root");
	return 0;
}

/* The current directory stays: the vsock device's sockets are there. */
int jail_change_root(const struct vm_config *config, struct error **ret_error)
{
	_cleanup_close_ int directory = -1;
	bool done = false;

	if (config->root_fd < 0)
		return 0;
	directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return error_set_errno(ret_error, errno, "cannot open the current directory");
	if (leave_host(config->root_fd, &done, ret_error) < 0)
		return -1;
	if (!done && (fchdir(config->root_fd) < 0 || chroot(".") < 0))
		return error_set_errno(ret_error, errno, "cannot change the root directory");
	if (fchdir(directory) < 0)
		return error_set_errno(ret_error, errno, "cannot return to the current directory");
	(void)close(config->root_fd);
	return 0;
}

int jail_drop_privileges(struct error **ret_error)
{
	return jail_keep(NULL, 0, ret_error);
}

int jail_enter_thread(enum seccomp_kind kind, const unsigned *keep, size_t n_keep,
		      struct error **ret_error)
{
	if (jail_keep(keep, n_keep, ret_error) < 0)
		return -1;
	return seccomp_enter(kind, ret_error);
}

int jail_enter(struct error **ret_error)
{
	/* Its memory is nobody's to read, nor another process of the same user's. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set_errno(ret_error, errno, "cannot set PR_SET_DUMPABLE to 0");
	if (set_limits(ret_error) < 0)
		return -1;
	return jail_enter_thread(SECCOMP_LOOP, NULL, 0, ret_error);
}
