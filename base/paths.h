/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the project's own files are. A program looks beside its own executable and,
 * if it is an installed one, where the others were installed. So what is in a build
 * tree never uses a part of an installation, which may be another version.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* This program is the one in the BINDIR or PKGLIBEXECDIR it was configured with. */
bool paths_installed(void);

/* The path of one of our programs, e.g. "supermachine-vmm"; caller frees. */
int paths_find_program(const char *name, char **ret_path, struct error **ret_error);
/* The path of one of our data files, e.g. "initramfs.cpio"; caller frees. */
int paths_find_data(const char *name, char **ret_path, struct error **ret_error);
/* The QEMU that runs guests without KVM: $SUPERMACHINE_QEMU, else configure's
 * --with-qemu, else the first qemu-system-x86_64 of $PATH (absolute entries only).
 * ENOENT: the error names the Debian package.  Caller frees. */
int paths_find_qemu(char **ret_path, struct error **ret_error);
/* A program of $PATH (absolute entries only), e.g. "passt"; NULL where there is
 * none.  Caller frees. */
char *paths_search(const char *name);
/* Where what lasts until the next boot is kept: $SUPERMACHINE_RUNTIME, else
 * $XDG_RUNTIME_DIR/supermachine for users other than root, or the same in /run/user/UID, or
 * /tmp/supermachine-UID, which is made, else /run/supermachine.  Caller frees. */
char *paths_runtime(void);
/* $SUPERMACHINE_CACHE, else /var/cache/supermachine for root, else
 * $XDG_CACHE_HOME/supermachine, else ~/.cache/supermachine. Caller frees. */
char *paths_cache(void);
/* Root's, from which other users take a kernel that they have not themselves; NULL: there is none
 * but the above. */
const char *paths_shared_cache(void);
/* Where images are kept: $SUPERMACHINE_STORE, else /var/lib/supermachine for root, else
 * $XDG_DATA_HOME/supermachine, else ~/.local/share/supermachine. Caller frees. */
char *paths_store(void);
