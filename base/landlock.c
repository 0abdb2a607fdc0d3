/* SPDX-License-Identifier: Apache-2.0 */
/* What this kernel's Landlock is: see landlock.h. */
#include "base/landlock.h"

#include <linux/landlock.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The first one with LANDLOCK_ACCESS_FS_REFER. */
#define VERSION_LEAST 2

bool landlock_is_usable(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >=
	       VERSION_LEAST;
}
