/* Giving up privileges: see jail.h. */
#include "vmm/jail.h"

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "vmm/seccomp.h"

/* kernel, control, log, serial, root, and one for each initramfs and device */
#define NAMED_MAX (5 + VM_INITRAMFS_MAX + VM_DEVICES_MAX)

static int device_fd(const struct vm_device *device)
{
	switch (device->type) {
	case VM_DEVICE_BLK:
		return device->blk.file.fd;
	case VM_DEVICE_VSOCK:
		return device->vsock.fd;
	case VM_DEVICE_CONSOLE:
		return device->console.output.fd;
	case VM_DEVICE_FS:
		return device->fs.root.fd;
	case VM_DEVICE_RNG:
		break;
	}
	return -1;
}

static size_t named_fds(const struct vm_config *config, int ret_fds[NAMED_MAX])
{
	size_t n = 0;

	ret_fds[n++] = config->kernel.fd;
	ret_fds[n++] = config->control_fd;
	ret_fds[n++] = config->log_fd;
	ret_fds[n++] = config->serial_fd;
	ret_fds[n++] = config->root_fd;
	for (size_t i = 0; i < config->n_initramfs; i++)
		ret_fds[n++] = config->initramfs[i].fd;
	for (size_t i = 0; i < config->n_devices; i++)
		ret_fds[n++] = device_fd(&config->devices[i]);
	return n;
}

static int compare_fds(const void *a, const void *b)
{
	const int *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

void jail_close_others(const struct vm_config *config)
{
	int fds[NAMED_MAX];
	size_t n = named_fds(config, fds);
	int next = STDERR_FILENO + 1;

	qsort(fds, n, sizeof(fds[0]), compare_fds);
	for (size_t i = 0; i < n; i++) {
		if (fds[i] < next)
			continue;
		if (fds[i] > next)
			(void)close_range((unsigned)next, (unsigned)fds[i] - 1, 0);
		next = fds[i] + 1;
	}
	(void)close_range((unsigned)next, UINT_MAX, 0);
}

/*
 * A share's threads make and change files as the guest's users, whose
 * permissions the guest's kernel has checked, in the shared directory alone.
 */
static const unsigned share_capabilities[] = {
	CAP_CHOWN,	     /* chown(2) */
	CAP_DAC_OVERRIDE,    /* the guest's root reaches everything in its tree */
	CAP_DAC_READ_SEARCH, /* open_by_handle_at(2) */
	CAP_FOWNER,	     /* chmod(2), utimes, user.* attributes, sticky directories */
	CAP_FSETID,	     /* chmod(2) with set-id bits; kept over a write by root */
	CAP_SETUID,	     /* new files are their maker's: setfsuid(2) */
	CAP_SETGID,	     /* and the group's */
	CAP_MKNOD,	     /* device nodes, overlayfs whiteouts; none is ever opened */
	CAP_SETFCAP,	     /* security.capability: packages with ping and the like */
};

/* Down to those in keep (as far as the thread has them). */
static int drop_capabilities(const unsigned *keep, size_t n_keep, struct error **ret_error)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct had[_LINUX_CAPABILITY_U32S_3] = { 0 };
	struct __user_cap_data_struct kept[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (n_keep > 0 && syscall(SYS_capget, &header, had) < 0)
		return error_set_errno(ret_error, errno, "cannot tell capabilities");
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
		return error_set_errno(ret_error, errno, "cannot leave the session keyring");
	return 0;
}

static int drop_privileges(const unsigned *keep, size_t n_keep, struct error **ret_error)
{
	const struct rlimit no_core = { 0, 0 };

	if (drop_keyring(ret_error) < 0 || drop_capabilities(keep, n_keep, ret_error) < 0)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set_errno(ret_error, errno, "cannot give up new privileges");
	if (setrlimit(RLIMIT_CORE, &no_core) < 0)
		return error_set_errno(ret_error, errno, "cannot switch core files off");
	return 0;
}

int jail_prepare(struct error **ret_error)
{
	tzset(); /* libc reads the time zone's file for the first log line otherwise */
	return seccomp_prepare(ret_error);
}

/* The current directory stays: the vsock device's sockets are there. */
int jail_change_root(const struct vm_config *config, struct error **ret_error)
{
	_cleanup_free_ char *path = NULL;

	if (config->root_fd < 0)
		return 0;
	path = xasprintf("/proc/self/fd/%d", config->root_fd);
	if (chroot(path) < 0)
		return error_set_errno(ret_error, errno, "cannot change the root directory");
	(void)close(config->root_fd);
	return 0;
}

int jail_drop_privileges(struct error **ret_error)
{
	return drop_privileges(NULL, 0, ret_error);
}

int jail_enter_share(struct error **ret_error)
{
	if (drop_privileges(share_capabilities, ARRAY_SIZE(share_capabilities), ret_error) < 0)
		return -1;
	return seccomp_enter(SECCOMP_SHARE, ret_error);
}

int jail_enter(struct error **ret_error)
{
	if (jail_drop_privileges(ret_error) < 0)
		return -1;
	return seccomp_enter(SECCOMP_LOOP, ret_error);
}
