/* SPDX-License-Identifier: Apache-2.0 */
/* Saving a container, for `checkpoint` and `fork`. */
#pragma once

#include <stdbool.h>

#include "client/handle.h"

struct checkpoint_request {
	const char *directory;	 /* absolute: the files go there */
	const char *parent_path; /* another checkpoint's, relative to the directory; NULL: none */
	const char *work_path;	 /* absolute: figures go there as well; NULL: they do not */
	/* Source, target, source, …, absolute: trees that are copied while the machine stands
	 * still; ends with NULL, or is it. */
	char *const *copies;
	bool memory_only; /* for a parent: the container runs on, meanwhile too */
	bool leave_running;
};

/* However long it takes. Then the container goes on or ends; on failure it goes on. */
int checkpoint_container(const struct handle *handle, const struct checkpoint_request *request,
			 struct error **ret_error);
