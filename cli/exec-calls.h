/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of the Task API that make and remove an exec, a process beside a container's first. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "client/handle.h"

/* Strings and descriptors stay the caller's.  The streams: "fd:N" of the N-th descriptor, NULL:
 * none. process: its JSON (client/exec-process.h). */
struct exec_call {
	const char *id, *process;
	const char *in, *out, *error;
	const int *fds;
	size_t n_fds;
	bool terminal;
};
int exec_call_new(const struct handle *handle, const struct exec_call *exec,
		  struct error **ret_error);
/* timeout_ms: 0 is without end. */
int exec_call_start(const struct handle *handle, const char *id, unsigned timeout_ms,
		    struct error **ret_error);
int exec_call_delete(const struct handle *handle, const char *id, struct error **ret_error);
