/*
 * Starting a program that outlives its caller: in a session of its own, signals at
 * their defaults, with no descriptor of the caller's but those it is given.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"

/* Where the daemon finds the socket it is to listen on. */
#define DAEMON_LISTEN_FD 3

struct daemon_setup {
	const char *program;	 /* a path */
	const char *const *argv; /* ends with NULL */
	const char *directory;	 /* its working directory */
	int listen_fd;		 /* becomes DAEMON_LISTEN_FD; stays the caller's */
	int log_fd;		 /* becomes its stderr; stays the caller's; -1: /dev/null */
};

/* Returns when the program runs (or -1 when it cannot); its stdin and stdout are
 * /dev/null. It is the caller's child. */
int daemon_start(const struct daemon_setup *setup, pid_t *ret_pid, struct error **ret_error);
