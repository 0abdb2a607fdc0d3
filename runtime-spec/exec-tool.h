/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an exec can be instead of a program of the container's (spec.h: SPEC_EXEC_TOOL), for `cp`
 * and its like: an image need not have tar(1).  The agent runs it in the guest, and the command
 * line for a container that has stopped.
 */
#pragma once

/* With the rights of the calling process, whose root is the container's.  in, out: its standard
 * streams, of which it needs one.  The exit status; what failed is written to errors.  args ends
 * with NULL. */
int exec_tool_run(const char *name, const char *const *args, int in, int out, int errors);
