/* SPDX-License-Identifier: Apache-2.0 */
/* Running a container, of a bundle or of an image: create, start, wait, delete. */
#pragma once

#include "client/create.h"

/* The exit status, 0 of one that is detached and runs, or -1.  What has ended is deleted unless
 * it is to be kept.  A signal that comes in time ends the process as the verbs' do. */
int run_container(const struct client *client, const struct create_options *options, const char *id,
		  struct error **ret_error);
/* Starts what was created, and lets go of its lock. */
int run_start(struct handle *handle, struct error **ret_error);
