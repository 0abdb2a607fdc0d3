/* SPDX-License-Identifier: Apache-2.0 */
/* The containers below --root, as a whole. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* Their ids, in order (strv_free()); NULL: there are none. */
int containers_ids(const char *root, char ***ret_ids, struct error **ret_error);
/* Docker's table of them: those that run, or all; or their ids alone. */
int containers_print(const char *root, bool all, bool quiet, struct error **ret_error);
