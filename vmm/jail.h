/* What the VMM gives up: inherited descriptors at its start, and every
 * privilege before the guest runs. */
#pragma once

#include "base/error.h"
#include "vmm/vm-config.h"

/* Closes every descriptor from 3 on that the configuration does not name. */
void jail_close_others(const struct vm_config *config);

/* Capabilities, session keyring, new privileges, core files: what no process next
 * to a guest has a use for. */
int jail_drop_privileges(struct error **ret_error);
/* The same and, last, system calls.  The only thread calls this; threads started
 * later inherit all of it. */
int jail_enter(struct error **ret_error);
