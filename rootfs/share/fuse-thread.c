/* SPDX-License-Identifier: Apache-2.0 */
/* What a serving thread has of its own: see fuse-parts.h and fuse.h. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "rootfs/share/fuse-parts.h"

#define ID_NONE UINT32_MAX

const char *fuse_fd_name(int fd, char ret_name[FUSE_FD_NAME_MAX])
{
	(void)snprintf(ret_name, FUSE_FD_NAME_MAX, "%d", fd);
	return ret_name;
}

int fuse_reopen(int path_fd, int flags)
{
	char name[FUSE_FD_NAME_MAX];

	return open(fuse_fd_name(path_fd, name), flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

static bool get_capabilities(struct __user_cap_data_struct ret_data[_LINUX_CAPABILITY_U32S_3])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capget, &header, ret_data) == 0;
}

static bool set_capabilities(const struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capset, &header, data) == 0;
}

static bool has_capability(const struct __user_cap_data_struct *data, unsigned capability)
{
	return data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability);
}

static void change_fsetid(bool on)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (!get_capabilities(data))
		return;
	if (on)
		data[CAP_TO_INDEX(CAP_FSETID)].effective |= CAP_TO_MASK(CAP_FSETID);
	else
		data[CAP_TO_INDEX(CAP_FSETID)].effective &= ~CAP_TO_MASK(CAP_FSETID);
	(void)set_capabilities(data);
}

bool fuse_drop_fsetid(struct fuse_thread *thread, const struct fuse_in_header *header, int fd)
{
	struct stat st;

	if (!thread->has_fsetid || fstat(fd, &st) < 0 || !(st.st_mode & (S_ISUID | S_ISGID)))
		return false;
	/* A member of the file's group keeps its set-group-ID bit. */
	if (thread->keeps_ids && header->gid != ID_NONE)
		(void)setfsgid(header->gid);
	change_fsetid(false);
	return true;
}

void fuse_regain_fsetid(struct fuse_thread *thread)
{
	change_fsetid(true);
	if (thread->keeps_ids)
		(void)setfsgid(thread->gid);
}

int fuse_become(struct fuse_thread *thread, const struct fuse_in_header *header, mode_t mask)
{
	if (header->uid == ID_NONE || header->gid == ID_NONE)
		return -EINVAL; /* no id, to the kernel */
	if (thread->umask != (mask & 0777)) {
		thread->umask = mask & 0777;
		(void)umask(thread->umask);
	}
	if (!thread->keeps_ids)
		return 0;
	/* Calls of this thread alone, unlike setuid(3).  They fail silently; that
	 * the id is a proper one has been checked, and that it is allowed at the
	 * thread's start. */
	if (header->gid != thread->gid)
		(void)setfsgid(header->gid);
	if (header->uid != thread->uid)
		(void)setfsuid(header->uid);
	return 0;
}

void fuse_become_self(struct fuse_thread *thread)
{
	if (!thread->keeps_ids)
		return;
	(void)setfsuid(thread->uid);
	(void)setfsgid(thread->gid);
}

int fuse_leave_groups(struct error **ret_error)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (!get_capabilities(data) || !has_capability(data, CAP_SETGID))
		return 0;
	/* Not setgroups(3), which is for all threads. */
	/* EPERM: a user namespace without setgroups(2), where they have to stay. */
	if (syscall(SYS_setgroups, 0, NULL) < 0 && errno != EPERM)
		return error_set_errno(ret_error, errno, "cannot drop the supplementary groups");
	return 0;
}

/* A directory as the root of a mount of its own that is attached nowhere has no "..": beside
 * descriptors there is the process's memory, and above them the host's processes. */
int fuse_open_proc(const char *name, struct error **ret_error)
{
	const struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
		.propagation = MS_PRIVATE,
	};
	_cleanup_free_ char *path = xasprintf("/proc/self/%s", name);
	_cleanup_close_ int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd >= 0 &&
	    mount_setattr(fd, "", AT_EMPTY_PATH, (struct mount_attr *)&attr, sizeof(attr)) < 0)
		close_fdp(&fd);
	if (fd < 0)
		fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", path);
	return TAKE_FD(fd);
}

static int enter_descriptors(struct error **ret_error)
{
	_cleanup_close_ int fd = fuse_open_proc("fd", ret_error);

	if (fd < 0)
		return -1;
	if (fchdir(fd) < 0)
		return error_set_errno(ret_error, errno, "cannot enter /proc/self/fd");
	return 0;
}

int fuse_thread_new(bool inherits, struct fuse_thread **ret_thread, struct error **ret_error)
{
	_cleanup_(fuse_thread_freep) struct fuse_thread *thread = xcalloc(1, sizeof(*thread));
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	sigset_t too_large;

	if (unshare(CLONE_FS) < 0)
		return error_set_errno(ret_error, errno, "cannot unshare the working directory");
	if (!inherits && enter_descriptors(ret_error) < 0)
		return -1;
	(void)umask(0);
	if (get_capabilities(data)) {
		thread->keeps_ids =
		    has_capability(data, CAP_SETUID) && has_capability(data, CAP_SETGID);
		thread->has_fsetid = has_capability(data, CAP_FSETID);
	}
	thread->uid = geteuid();
	thread->gid = getegid();
	/* Another user's files are made with our privileges: that user was allowed
	 * to by the guest's kernel.  (Where CAP_SETPCAP is missing, the host's
	 * permissions count too.) */
	(void)prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0);
	/* RLIMIT_FSIZE: EFBIG for the guest, and not the end of the process. */
	(void)sigemptyset(&too_large);
	(void)sigaddset(&too_large, SIGXFSZ);
	(void)pthread_sigmask(SIG_BLOCK, &too_large, NULL);
	thread->body = xmalloc(FUSE_BODY_MAX + 1);
	thread->payload = xmalloc(FUSE_PAYLOAD_MAX);
	thread->scratch = xmalloc(FUSE_PAYLOAD_MAX);
	*ret_thread = TAKE_PTR(thread);
	return 0;
}

void fuse_thread_free(struct fuse_thread *thread)
{
	if (!thread)
		return;
	free(thread->body);
	free(thread->payload);
	free(thread->scratch);
	free(thread);
}
