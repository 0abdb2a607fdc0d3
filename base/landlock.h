/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock: which files a thread may open, by the directories that they are below (Linux,
 * Documentation/userspace-api/landlock.rst). */
#pragma once

#include <stdbool.h>

/* Is it in force, in a version that lets files be renamed from one directory to another (Linux
 * 5.19)? */
bool landlock_is_usable(void);
