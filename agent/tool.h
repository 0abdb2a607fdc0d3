/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an exec can be instead of a program of the container's: the agent's own tools, for `cp` and
 * its like (runtime-spec/spec.h: SPEC_EXEC_TOOL).  An image need not have tar(1).
 */
#pragma once

/* In a process of the container's, which has its rights.  The exit status; what failed is on
 * stderr. args ends with NULL. */
int tool_run(const char *name, char *const *args);
