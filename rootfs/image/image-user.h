/* SPDX-License-Identifier: Apache-2.0 */
/* Whom a process of an image runs as: `User` of its configuration, or --user. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define IMAGE_GROUPS_MAX 1024

struct image_user {
	uint32_t uid, gid;
	char *home;	  /* as passwd has it; NULL: it does not */
	uint32_t *groups; /* supplementary ones, without gid */
	size_t n_groups;
};
void image_user_done(struct image_user *user);

/*
 * words: "", USER or USER:GROUP, each a name or a number; "" is user 0.  passwd and group are the
 * texts of the image's files, NULL where it has none; a line that is not one of such a file's is
 * ignored. As docker: a number needs no entry; a user's own group is its entry's, or 0, and
 * supplementary groups are those that list it, unless GROUP is given; numbers are below 2^31.
 * ENOENT: no such name.
 */
int image_user_find(const char *words, const char *passwd, const char *group,
		    struct image_user *ret_user, struct error **ret_error);
