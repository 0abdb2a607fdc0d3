/* SPDX-License-Identifier: Apache-2.0 */
/* What a container is otherwise than its image says, for the image that `commit` makes of it. */
#pragma once

#include "cli/run-options.h"
#include "cli/run-request.h"

/* Appends the instructions (image-changes.h) that the options and the command mean. */
int run_changes(const struct run_options *options, const char *const *args,
		const struct run_request *request, char ***ret_changes, struct error **ret_error);
