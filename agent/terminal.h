/* SPDX-License-Identifier: Apache-2.0 */
/* The container's terminal: a pty of the container's own devpts. */
#pragma once

#include <stdint.h>

#include "base/error.h"

/* Opens /dev/ptmx inside root_fd; both fds are the caller's, close-on-exec. */
int agent_terminal_open(int root_fd, uint32_t width, uint32_t height, int *ret_master_fd,
			int *ret_slave_fd, struct error **ret_error);
/* Binds the slave on /dev/console, for init. */
int agent_terminal_bind_console(int root_fd, int slave_fd, struct error **ret_error);
/* Makes the slave the controlling terminal of the calling session leader. */
int agent_terminal_control(int slave_fd, struct error **ret_error);
int agent_terminal_resize(int fd, uint32_t width, uint32_t height, struct error **ret_error);
