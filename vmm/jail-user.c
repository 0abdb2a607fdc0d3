/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMM's user: see jail-user.h.
 *
 * Not for a machine with shares, whose threads serve files as root and share the others' memory;
 * nor for an emulated one: QEMU's keeper, whom the VMM and its end have to kill, is root.
 *
 * The sockets that the loop connects to, and the one that it removes in the end, are the
 * caller's, in a directory of the caller's: so is the user for files, which is another one to
 * the kernel.
 */
#include "vmm/jail-user.h"

#include <errno.h>
#include <grp.h>
#include <linux/securebits.h>
#include <stdbool.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "virtio/device.h"
#include "vmm/device.h"
#include "vmm/host-user.h"

/* vCPUs, a worker for each queue of a disk, the loop, and the kernel's for network devices. */
#define THREADS_MAX (VM_VCPUS_MAX + VM_DEVICES_MAX * (VIRTIO_QUEUES_MAX + 1) + 8)

int jail_user_take(const struct vm_config *config, struct jail_user *ret_user,
		   struct error **ret_error)
{
	struct jail_user user = JAIL_USER_NONE;

	if (config->root_fd >= 0 && config->accel == VM_ACCEL_KVM && !device_keeps_user(config) &&
	    host_user_available() && host_user_take(&user.id, &user.hold, ret_error) < 0)
		return error_wrap(ret_error, "the VMM needs a user of its own");
	*ret_user = user;
	return 0;
}

int jail_user_become(const struct jail_user *user, struct error **ret_error)
{
	const struct rlimit threads = { THREADS_MAX, THREADS_MAX };
	const int caller = (int)geteuid();

	if (user->id == 0)
		return 0;
	if (setrlimit(RLIMIT_NPROC, &threads) < 0)
		return error_set_errno(ret_error, errno, "cannot set RLIMIT_NPROC");
	if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0 ||
	    setgroups(0, NULL) < 0 || setresgid(user->id, user->id, user->id) < 0 ||
	    setresuid(user->id, user->id, user->id) < 0)
		return error_set_errno(ret_error, errno, "cannot become user %u", user->id);
	(void)setfsuid((uid_t)caller);
	if (setfsuid((uid_t)-1) != caller)
		return error_set(ret_error, EPERM, "cannot stay user %d for files", caller);
	return 0;
}

void jail_user_done(struct jail_user *user)
{
	close_fdp(&user->hold);
}
