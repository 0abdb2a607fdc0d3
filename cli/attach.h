/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A proxy for a process of the guest: a host process that waits for it, passes on
 * signals and the terminal's size and bytes, and learns its exit status.
 */
#pragma once

#include "client/handle.h"

struct attachment {
	const struct handle *handle;
	const char *exec_id; /* "": init */
	/* -1: none. The master of its terminal, which becomes attach_run()'s, is
	 * connected to our own terminal; or else the slave, our controlling terminal,
	 * is followed in its size. */
	int master, slave;
	/* Called once signals are held, and before anything else; may be NULL. */
	int (*start)(void *data, struct error **ret_error);
	void *data;
};

/* Runs until the process has ended (and its terminal's output has been copied).
 * A task server that dies meanwhile takes the process with it: 137. */
int attach_run(const struct attachment *attachment, unsigned *ret_status, struct error **ret_error);
