/* SPDX-License-Identifier: Apache-2.0 */
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
	/* Called when its pid is known: writes it down where a clean-up will look. The
	 * program runs only once this has succeeded: a caller that is killed, at whatever
	 * moment, leaves none that nobody knows of. */
	int (*note)(pid_t pid, void *context, struct error **ret_error);
	void *context;
};

/* Returns when the program runs (or -1 when it cannot, or was not noted); its stdin and
 * stdout are /dev/null. It is the caller's child. */
int daemon_start(const struct daemon_setup *setup, struct error **ret_error);
