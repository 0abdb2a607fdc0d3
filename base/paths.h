/*
 * Where the project's own files are. A program first looks beside its own
 * executable (the build tree), then where it was installed.
 */
#pragma once

#include "base/error.h"

/* The path of one of our programs, e.g. "supermachine-vmm"; caller frees. */
int paths_find_program(const char *name, char **ret_path, struct error **ret_error);
/* The path of one of our data files, e.g. "initramfs.cpio"; caller frees. */
int paths_find_data(const char *name, char **ret_path, struct error **ret_error);
/* $SUPERMACHINE_CACHE, else /var/cache/supermachine for root, else
 * $XDG_CACHE_HOME/supermachine, else ~/.cache/supermachine. Caller frees. */
char *paths_cache(void);
