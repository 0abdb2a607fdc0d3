/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an exec can be instead of a program of the container's (spec.h: SPEC_EXEC_TOOL), for `cp`
 * and its like: an image need not have tar(1).  The agent runs it in the guest, and the command
 * line for a container that has stopped.
 */
#pragma once

/* What a tool works with. */
struct exec_tool {
	const char *name, *const *args; /* args ends with NULL */
	int in, out;			/* its standard streams; -1: one that it does not need */
	int errors;			/* what failed is written there */
	int upper, merged;		/* of SPEC_TOOL_CHANGES: struct tar_changes; else unused */
};

/* With the rights of the calling process, whose root is the container's.  The exit status. */
int exec_tool_run(const struct exec_tool *tool);
