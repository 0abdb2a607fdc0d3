/* SPDX-License-Identifier: Apache-2.0 */
/* The mounts of config.json, and its masked and read-only paths, made inside
 * the root before the pivot. */
#pragma once

#include <stdbool.h>

#include "agent/agent.h"
#include "agent/files.h"
#include "base/error.h"
#include "runtime-spec/spec.h"

/* In order (config.md "Mounts"), volumes first; destinations are made where they are
 * missing. */
int agent_mounts_make(const struct agent_config *config, const struct files *files,
		      const struct spec *spec, int root_fd, struct error **ret_error);
/* What comes before the options of a tmpfs that says nothing of its size: "size=…,", half of the
 * memory that the container may use, or "", for the kernel's own bound is half of the guest's.
 * (Pages of a tmpfs are not given back when who wrote them is killed, and while others of the
 * container can still be dropped and read again, nothing else is killed: a write that fails is
 * better.)  Caller frees. */
char *mounts_tmpfs_bound(const struct spec *spec);
/* Whether /dev is the host's, bound in. */
bool agent_mounts_bind_dev(const struct spec *spec);
/* tmpfs mounts and /dev become read-only last, after what belongs into them. */
int agent_mounts_finish(const struct spec *spec, int root_fd, struct error **ret_error);

/* config-linux.md "Masked Paths" and "Readonly Paths"; missing ones are fine. */
int mask_paths(char *const *paths, int root_fd, struct error **ret_error);
int protect_paths(char *const *paths, int root_fd, struct error **ret_error);

/* runc's tmpcopyup: copies the directory's content, with owners and modes; the
 * directory's own are the mount's affair. */
int copy_tree(int from_fd, int to_fd, struct error **ret_error);
/* The same if there is nothing in it, and gives it the other's owner, mode and times. */
int copy_tree_into_empty(int from_fd, int to_fd, struct error **ret_error);
