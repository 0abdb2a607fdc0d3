/* SPDX-License-Identifier: Apache-2.0 */
/* The containers below --root, as a whole. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "client/handle.h"

/* Their ids, in order (strv_free()); NULL: there are none. */
int containers_ids(const char *root, char ***ret_ids, struct error **ret_error);
/* One of them, as it is now; false: it is gone meanwhile, or cannot be read, which is logged. */
bool containers_look(const char *root, const char *id, struct handle **ret_handle,
		     enum container_status *ret_status);
/* Docker's table of them: those that run, or all; or their ids alone. */
int containers_print(const char *root, bool all, bool quiet, struct error **ret_error);
