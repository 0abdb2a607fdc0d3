/* SPDX-License-Identifier: Apache-2.0 */
/* Users of this machine: see user.h. */
#include "base/user.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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

int user_check_private(int fd, const char *what, const char *path, struct error **ret_error)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set_errno(ret_error, errno, "cannot look at %s %s", what, path);
	if (st.st_uid == geteuid() && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0)
		return 0;
	return error_set(ret_error, EPERM,
			 "%s %s can be written by others (owner %u, mode %04o): it must be this "
			 "user's alone",
			 what, path, st.st_uid, st.st_mode & 07777);
}
