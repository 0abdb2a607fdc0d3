/* SPDX-License-Identifier: Apache-2.0 */
/* Deleting a container, for `delete` and `run`. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* Not stopped (nor only created), and not forced: an error. Forced, a container that
 * does not exist is none. What has no server any more is cleaned up all the same. */
int delete_container(const char *root, const char *id, bool force, struct error **ret_error);
