/* SPDX-License-Identifier: Apache-2.0 */
/* Saving a container, for `checkpoint` and `fork`. */
#pragma once

#include <stdbool.h>

#include "client/handle.h"

/* However long it takes: the files go to the directory, which is absolute, and the container goes
 * on or ends. On failure it goes on. */
int checkpoint_container(const struct handle *handle, const char *directory, bool leave_running,
			 struct error **ret_error);
