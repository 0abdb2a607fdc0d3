/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small facts that outlive a process, each a file in RUNTIME (base/paths.h) whose
 * name begins with '@', which no container's id does.  A file counts only if it and
 * its directory belong to this user and nobody else can write to them.  Files are
 * replaced atomically, so any number of processes may use them at once.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

/* This boot of the machine, without a newline; NULL if the kernel does not tell.
 * Caller frees. */
char *boot_id(void);

/* -1 if there is no file, or one that cannot be trusted; *ret_text (caller frees)
 * ends with a NUL that *ret_size does not count. */
int runtime_file_load(const char *directory, const char *name, size_t size_max, char **ret_text,
		      size_t *ret_size);
/* Makes the directory too, mode 0700. */
int runtime_file_save(const char *directory, const char *name, const char *text, size_t size,
		      struct error **ret_error);
void runtime_file_remove(const char *directory, const char *name);
