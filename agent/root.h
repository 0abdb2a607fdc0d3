/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's root file system: a share, or read-only layers on virtio-blk,
 * stacked by overlayfs under a tmpfs that takes the writes; in the calling
 * process's own mount namespace (so that it all goes with the container).
 */
#pragma once

#include <stddef.h>

#include "agent/agent.h"
#include "agent/files.h"
#include "base/error.h"
#include "runtime-spec/spec.h"

/* Of a root of layers, for those who look at what has changed in it: the upper directory, and the
 * root without what is mounted in it, each a mount of its own that is in no namespace.  -1: none.
 */
struct root_parts {
	int upper_fd, merged_fd;
};
#define ROOT_PARTS_NONE                                                                            \
	{                                                                                          \
		.upper_fd = -1, .merged_fd = -1                                                    \
	}
int root_open_parts(const struct agent_config *config, const struct files *files, int root_fd,
		    struct root_parts *ret_parts, struct error **ret_error);
void root_parts_close(struct root_parts *parts);

/* Binds the share (if there is one) to STAGE/share, and the root at STAGE/root;
 * *ret_root_fd (O_PATH) is it. */
int root_assemble(const struct agent_config *config, const struct files *files,
		  const struct spec *spec, int *ret_root_fd, struct error **ret_error);
/* Puts the root on a mount of its own, in a mount namespace that a new user
 * namespace owns: the one that came with the namespace is locked. */
int root_rebind(const struct agent_config *config, int *ret_root_fd, struct error **ret_error);
/* Makes root_fd's directory "/" and lets go of everything else. */
int root_pivot(int root_fd, struct error **ret_error);
/* config.md "rootfsPropagation", on "/". */
int root_set_propagation(const char *word, struct error **ret_error);
/* Makes the root's mount read-only (root_fd is its root directory). */
int root_set_readonly(int root_fd, struct error **ret_error);
