/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user and group id of the host's for one QEMU or VMM: of a range that no account, subordinate id
 * or container is given, and no other's of this host as long as it is held.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* Above the ranges of useradd, subuid files, systemd-nspawn and sssd, below those that
 * systemd-nsresourced and signed 32-bit numbers end (doc/decisions/017-jail.md). */
#define HOST_USER_FIRST 2100000000U
#define HOST_USERS 65536U

/* Whether this process may give or take such an id: it is root, in a user namespace that has them.
 */
bool host_user_available(void);
/* *ret_hold (caller closes): the id is ours until its last descriptor is closed. */
int host_user_take(uid_t *ret_user, int *ret_hold, struct error **ret_error);
