/* SPDX-License-Identifier: Apache-2.0 */
/* What the caller of a verb that starts a process may ask for beside it: --pid-file,
 * --pidfd-socket, --preserve-fds. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Replaces the file at path (NULL: none is wanted) by the pid's number. */
int caller_write_pid(const char *path, pid_t pid, struct error **ret_error);
/* Sends a pidfd of the process to the unix socket at path (NULL: none is wanted), as runc 1.2 does.
 */
int caller_send_pidfd(const char *path, pid_t pid, struct error **ret_error);
/* ENOTSUP for more descriptors than none. */
int caller_check_preserve_fds(uint64_t n_fds, struct error **ret_error);
