/* SPDX-License-Identifier: Apache-2.0 */
/* Users of this machine. */
#pragma once

#include <sys/types.h>

/* The name that /etc/passwd has for uid, else "#UID"; caller frees. */
char *user_name(uid_t uid);
