/* SPDX-License-Identifier: Apache-2.0 */
/* Work in a network namespace that is not the process's. */
#pragma once

#include "base/error.h"

/* Runs the function in the namespace behind ns_fd (-1: a new one), by a thread that lives for it
 * alone, and waits for it: the process stays where it is.  What the function makes there, a socket,
 * stays there, and so does what it sees in /proc/sys/net and /proc/thread-self/net. Needs
 * CAP_SYS_ADMIN.  Fails as the function does, or with errno's code where it could not be run. */
int netns_run(int ns_fd, int (*run)(void *data, struct error **ret_error), void *data,
	      struct error **ret_error);
