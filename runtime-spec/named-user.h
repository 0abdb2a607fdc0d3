/* SPDX-License-Identifier: Apache-2.0 */
/* Users of a root file system by the names of its own passwd and group: `User` of an image, --user.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define NAMED_GROUPS_MAX 1024

struct named_user {
	uint32_t uid, gid;
	char *home;	  /* as passwd has it; NULL: it does not */
	uint32_t *groups; /* supplementary ones, without gid */
	size_t n_groups;
};
void named_user_done(struct named_user *user);

/*
 * words: "", USER or USER:GROUP, each a name or a number; "" is user 0.  passwd and group are the
 * texts of the image's files, NULL where it has none; a line that is not one of such a file's is
 * ignored. As docker: a number needs no entry; a user's own group is its entry's, or 0, and
 * supplementary groups are those that list it, unless GROUP is given; numbers are below 2^31.
 * ENOENT: no such name.
 */
int named_user_find(const char *words, const char *passwd, const char *group,
		    struct named_user *ret_user, struct error **ret_error);
