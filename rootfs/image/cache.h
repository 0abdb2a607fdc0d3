/* SPDX-License-Identifier: Apache-2.0 */
/* The files in a directory of images, the cache's and the store's: names, locks, and which of them
 * go. */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>

#define CACHE_IMAGE ".squashfs"
#define CACHE_TEMPORARY ".tmp"

/* True if `name` in directory dir_fd is the file open as fd. */
bool cache_is_at(int dir_fd, const char *name, int fd);
/* A stream of its own over the directory; NULL with errno. */
DIR *cache_list(int dir_fd);
/* A maker's, who has not finished it. */
bool cache_is_temporary(const char *name);
/* Unlinks the file unless somebody has it locked or it was used (its time of change) after `used`.
 */
void cache_remove(int dir_fd, const char *name, int64_t used);
/* Removes dead makers' temporary files and the images layer.h says may go. */
void cache_prune(int dir_fd);
