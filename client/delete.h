/* SPDX-License-Identifier: Apache-2.0 */
/* Deleting a container, for `delete` and `run`. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

struct handle;

/* Ends a container's processes, with its file systems written, and keeps its directory. Not stopped
 * (nor only created), and not forced: an error. */
int end_container(struct handle *handle, bool force, struct error **ret_error);
/* Not stopped (nor only created), and not forced: an error. Forced, a container that
 * does not exist is none. What has no server any more is cleaned up all the same. */
int delete_container(const char *root, const char *id, bool force, struct error **ret_error);

/* The root of a container's machine that runs nothing, for those who want the files of one that
 * has stopped: below ROOT/ID, so that it is not among the containers.  Caller frees. */
char *idle_root(const char *root, const char *id);
/* Ends that machine, if there is one: who made it may have been killed. */
int idle_end(const char *root, const char *id, struct error **ret_error);
