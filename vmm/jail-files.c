/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock: see jail-files.h.
 *
 * A descriptor in /proc/self/fd can be opened once more, with other flags: a disk that the process
 * has for reading, for writing.  A filter of system calls does not see which file that is;
 * Landlock asks where it lies.
 */
#include "vmm/jail-files.h"

#include <errno.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/landlock.h"

#define ALL_ACCESS ((LANDLOCK_ACCESS_FS_REFER << 1) - 1)

int jail_files_new(int *ret_rules, struct error **ret_error)
{
	const struct landlock_ruleset_attr attr = { .handled_access_fs = ALL_ACCESS };
	int rules = -1;

	if (landlock_is_usable()) {
		rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
		if (rules < 0)
			return error_set_errno(ret_error, errno, "cannot make Landlock rules");
	}
	*ret_rules = rules;
	return 0;
}

int jail_files_allow(int rules, int directory, bool only_read, struct error **ret_error)
{
	const struct landlock_path_beneath_attr rule = {
		.allowed_access = only_read ? LANDLOCK_ACCESS_FS_READ_FILE : ALL_ACCESS,
		.parent_fd = directory,
	};

	if (rules >= 0 &&
	    syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return error_set_errno(ret_error, errno, "cannot add a Landlock rule");
	return 0;
}

int jail_files_enter(int rules, struct error **ret_error)
{
	if (rules < 0)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set_errno(ret_error, errno, "cannot set PR_SET_NO_NEW_PRIVS");
	if (syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		return error_set_errno(ret_error, errno, "cannot enforce Landlock rules");
	return 0;
}
