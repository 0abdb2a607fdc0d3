/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that are forked: how they tell their parent, and what they do before an exec. */
#pragma once

#include <sys/types.h>

#include "base/error.h"

/* fork(2), with a pipe between both: in the parent it returns the child's pid, and *ret_pipe is for
 * reading; in the child 0, and *ret_pipe is for writing.  Either has no other end of it, so each
 * sees the other's end.  Close-on-exec.  -1: there is no child, and an error. */
pid_t child_fork(int *ret_pipe, struct error **ret_error);
/* No signal is handled, ignored or blocked: an exec would pass on what is. */
void child_reset_signals(void);
/* How waitpid(2)'s status says that it ended, as Go does and so runc: "exit status 3", "signal:
 * killed".  Caller frees. */
char *child_end_text(int status);
/* The exit status of a process that stands for one which has ended with this code, or by this
 * signal (0: by none).  Does not return where the signal's default action ends the process. */
int child_end(int code, int signal);
