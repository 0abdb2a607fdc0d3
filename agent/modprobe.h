/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modules that the guest's kernel asks for (Linux, Documentation/admin-guide/sysctl/kernel.rst,
 * "modprobe"): the agent's program is its modprobe(8), in a process that the kernel starts.
 *
 * The modules are the host's kernel directory's, by way of the share (AGENT_MODULES_SHARE), with
 * the tables that depmod(8) made of them.  What is asked for may be any container's text; it is
 * compared with what these tables have, and is part of no path.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* In a directory with modules.dep and modules.alias: the files to load, paths below it, in that
 * order (strv_free()); ENOENT: it has no such module. */
int modprobe_find(const char *directory, const char *name, char ***ret_files,
		  struct error **ret_error);

/* From now on this program is the kernel's modprobe; none is fine: a kernel without modules. */
void modprobe_offer(void);
/* Was the program started as that? */
bool modprobe_is_asked_for(int argc, char *const *argv);
/* Loads it; returns the program's status. */
int modprobe_run(const char *name);
