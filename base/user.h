/* SPDX-License-Identifier: Apache-2.0 */
/* Users of this machine. */
#pragma once

#include <sys/types.h>

#include "base/error.h"

/* The name that /etc/passwd has for uid, else "#UID"; caller frees. */
char *user_name(uid_t uid);
/* EPERM unless fd, the WHAT ("the image store") at path, is this user's, and nobody else can write
 * to it. */
int user_check_private(int fd, const char *what, const char *path, struct error **ret_error);
