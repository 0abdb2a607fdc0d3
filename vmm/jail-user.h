/* SPDX-License-Identifier: Apache-2.0 */
/* A user of its own for a VMM that needs none of its caller's files by name. */
#pragma once

#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "protocol/vm-config.h"

struct jail_user {
	uid_t id; /* 0: the caller stays what it is */
	int hold; /* as long as it is open, the id is nobody else's; -1: none */
};
#define JAIL_USER_NONE ((struct jail_user){ .hold = -1 })

/* Finds one, if the machine can do with it and the caller may become it; needs the host's files,
 * which jail_change_root() takes away.  jail_user_done(). */
int jail_user_take(const struct vm_config *config, struct jail_user *ret_user,
		   struct error **ret_error);
/* The process and its threads become that user, but to files: there they stay the caller, whose
 * capabilities are still there and are to be dropped (jail_enter()). */
int jail_user_become(const struct jail_user *user, struct error **ret_error);
void jail_user_done(struct jail_user *user);
