/* SPDX-License-Identifier: Apache-2.0 */
/* What the VMM gives up before the guest runs: every privilege. */
#pragma once

#include "base/error.h"
#include "protocol/vm-config.h"
#include "vmm/seccomp.h"

/* Leaves the host's ipc, uts and cgroup namespaces for empty ones, if the caller may: before
 * threads are started.  They are what the process and its threads see of the host without a file.
 */
int jail_leave_namespaces(struct error **ret_error);
/* What the others need and cannot get any more once they are in force; first.  lists: of
 * seccomp_prepare(). */
int jail_prepare(const struct seccomp_call *const *lists, size_t n_lists, struct error **ret_error);
/* The configuration's root directory becomes the process's, but not that of the shares' threads,
 * which have gone there by themselves (share.c); the host's, which is beneath (host/stage.h), is
 * unmounted in this mount namespace.  Everything has been opened.  Closes the directory's
 * descriptor. */
int jail_change_root(const struct vm_config *config, struct error **ret_error);
/* Capabilities, session keyring, new privileges, core files: what no process next
 * to a guest has a use for. */
int jail_drop_privileges(struct error **ret_error);
/* The same, but for the capabilities to keep, as far as the caller has them. */
int jail_keep(const unsigned *keep, size_t n_keep, struct error **ret_error);
/* As jail_enter(), but for the capabilities to keep and the calls of that kind: for a thread
 * that a device needs with more than the others have.  Those that it starts inherit it. */
int jail_enter_thread(enum seccomp_kind kind, const unsigned *keep, size_t n_keep,
		      struct error **ret_error);
/* Limits of the process, jail_drop_privileges() and, last, system calls: of the calling thread, the
 * process's first; threads it starts inherit all of it. */
int jail_enter(struct error **ret_error);
