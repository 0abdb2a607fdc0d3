/* SPDX-License-Identifier: Apache-2.0 */
/* Users of this machine: see user.h. */
#include "base/user.h"

#include <pwd.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/cleanup.h"

/* Not getpwuid(), which a static program cannot use safely (NSS). */
char *user_name(uid_t uid)
{
	_cleanup_file_ FILE *file = fopen("/etc/passwd", "re");
	const struct passwd *entry;

	while (file && (entry = fgetpwent(file)))
		if (entry->pw_uid == uid)
			return xstrdup(entry->pw_name);
	return xasprintf("#%u", uid);
}
