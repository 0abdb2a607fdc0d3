/* SPDX-License-Identifier: Apache-2.0 */
/* Idmapped mounts: the kernel takes the mapping from a user namespace. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* A user namespace with these maps ("0 100000 65536\n…", as of user_namespaces(7): what the files
 * have, and as what it is shown); the caller's.  The kernel makes none for a process below a
 * chroot(2). */
int id_map_open(const char *uid_map, const char *gid_map, struct error **ret_error);
/* The mount behind fd, which is attached nowhere yet, shows owners by the maps of the namespace
 * behind map_fd; recursive: and all below it. */
int id_map_mount(int fd, int map_fd, bool recursive, struct error **ret_error);
