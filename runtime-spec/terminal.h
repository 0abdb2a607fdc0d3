/* Pseudoterminals of the command line: pairs, sizes, raw mode, console sockets. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "base/error.h"

struct terminal {
	int master, slave; /* -1: none */
};
#define TERMINAL_NONE                                                                              \
	{                                                                                          \
		.master = -1, .slave = -1                                                          \
	}

/* A new pair; the slave is raw (the guest's own terminal does the line editing).
 * Its size: width and height where not 0, else that of our own terminal, if any. */
int terminal_open(struct terminal *ret_terminal, uint32_t width, uint32_t height,
		  struct error **ret_error);
void terminal_close(struct terminal *terminal);
#define _cleanup_terminal_ _cleanup_(terminal_close)

/* Sends the master to who listens at the path (runc's --console-socket). */
int terminal_send(const struct terminal *terminal, const char *console_socket,
		  struct error **ret_error);

/* runc's rules for terminal, detach and console socket together. */
int terminal_check(bool terminal, bool detach, const char *console_socket,
		   struct error **ret_error);

/* One of our standard descriptors that is a terminal, or -1. */
int terminal_own(void);
/* Puts fd into raw mode; what it was goes to *ret_saved. -1 with errno. */
int terminal_raw(int fd, struct termios *ret_saved);
