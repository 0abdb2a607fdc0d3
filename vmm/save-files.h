/* SPDX-License-Identifier: Apache-2.0 */
/* The files that a machine is saved to. */
#pragma once

#include <stddef.h>

/* All of them stay the caller's. */
struct save_files {
	int state_fd; /* empty; -1: the memory alone, of a machine that may run */
	int ram_fd;   /* empty */
	/* The memory's past, from which it can be told what has changed (ram-changes.h); none: all
	 * of it is written. */
	const int *past_fds;
	size_t n_past;
};
