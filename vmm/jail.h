/* What the VMM gives up: inherited descriptors at its start, and every
 * privilege before the guest runs. */
#pragma once

#include "base/error.h"
#include "vmm/vm-config.h"

/* Closes every descriptor from 3 on that the configuration does not name. */
void jail_close_others(const struct vm_config *config);

/* What the others need and cannot get any more once they are in force; first. */
int jail_prepare(struct error **ret_error);
/* The configuration's root directory becomes the process's, but not that of the shares'
 * threads, which have their own and stay where they are.  Everything has been opened.
 * Closes the directory's descriptor. */
int jail_change_root(const struct vm_config *config, struct error **ret_error);
/* Capabilities, session keyring, new privileges, core files: what no process next
 * to a guest has a use for. */
int jail_drop_privileges(struct error **ret_error);
/* The shares' first threads, each for itself; those they start inherit it.  As
 * jail_enter(), but for the capabilities that passing files through needs. */
int jail_enter_share(struct error **ret_error);
/* jail_drop_privileges() and, last, system calls: of the calling thread, the
 * process's first; threads it starts inherit all of it. */
int jail_enter(struct error **ret_error);
