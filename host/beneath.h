/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a file for somebody who may have files below certain directories only.
 *
 * The kernel resolves the path, and refuses every step out of the directory (openat2(2),
 * RESOLVE_BENEATH): what is opened lies below it, even if somebody changes links or names
 * meanwhile.  A link that leads out is refused, and so is every absolute one.
 */
#pragma once

#include <sys/types.h>

/* As open(2), close-on-exec.  directories: absolute, without "/" at their end, ended by NULL;
 * NULL: path may lie anywhere.  path: absolute; it must begin with one of them, by name too.
 * -1 and errno: EXDEV, it lies below none. */
int beneath_open(const char *const *directories, const char *path, int flags, mode_t mode);
