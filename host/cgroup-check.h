/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a sandbox may enter a cgroup, as runc 1.2 sees it (libcontainer's Create()). */
#pragma once

#include <sys/types.h>

#include "base/error.h"

/* EBUSY: there are processes, or below, other than the holder (0: none).  None, where they cannot
 * be read. */
int cgroup_check_empty(const char *path, pid_t holder, struct error **ret_error);
/* EBUSY: who enters it is stopped until somebody thaws it, and with v1 cannot even be killed. */
int cgroup_check_thawed(const char *path, struct error **ret_error);
