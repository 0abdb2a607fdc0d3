/* SPDX-License-Identifier: Apache-2.0 */
/* The files in the image cache's directory: names, locks, and which of them go. */
#pragma once

#include <stdbool.h>

#define CACHE_IMAGE ".squashfs"
#define CACHE_TEMPORARY ".tmp"

/* flock(2), going on after EINTR; -1 with errno. */
int cache_lock(int fd, int operation);
/* True if `name` in directory dir_fd is the file open as fd. */
bool cache_is_at(int dir_fd, const char *name, int fd);
/* Removes dead makers' temporary files and the images layer.h says may go. */
void cache_prune(int dir_fd);
