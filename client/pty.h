/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudoterminals of the command line: pairs, sizes, raw mode, console sockets. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "base/error.h"

struct pty {
	int master, slave; /* -1: none */
};
#define PTY_NONE                                                                                   \
	{                                                                                          \
		.master = -1, .slave = -1                                                          \
	}

/* A new pair; the slave is raw (the guest's own terminal does the line editing).
 * Its size: width and height where not 0, else that of our own terminal, if any. */
int pty_open(struct pty *ret_pty, uint32_t width, uint32_t height, struct error **ret_error);
void pty_close(struct pty *pty);
#define _cleanup_pty_ _cleanup_(pty_close)

/* Sends the master to who listens at the path (runc's --console-socket). */
int pty_send(const struct pty *pty, const char *console_socket, struct error **ret_error);

/* runc's rules for terminal, detach and console socket together. */
int pty_check(bool terminal, bool detach, const char *console_socket, struct error **ret_error);

/* As runc: what has a terminal and is not detached needs one of ours, a standard descriptor or the
 * controlling one. */
int pty_check_own(bool terminal, bool detach, struct error **ret_error);

/* One of our standard descriptors that is a terminal, or -1. */
int pty_own(void);
/* Puts fd into raw mode; what it was goes to *ret_saved. -1 with errno. */
int pty_raw(int fd, struct termios *ret_saved);
