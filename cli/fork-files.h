/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bundle that `fork` makes: the files that the first container writes to are copied, all else is
 * the same.
 *
 *   BUNDLE/config.json   the first one's with these paths; it comes when all copies are there
 *   BUNDLE/rootfs        a copy of the root, unless that is read-only or made of images
 *   BUNDLE/binds/N       a copy of the source of mounts[N], where that is written to
 *   BUNDLE/volumes/N     not yet: restore makes it of the checkpoint's copy (annotation N)
 *
 * The task server makes the copies, while the machine stands still (protocol/sandbox.proto).
 */
#pragma once

#include <yajl/yajl_tree.h>

#include "base/error.h"
#include "runtime-spec/spec.h"
#include "runtime-spec/state.h"

struct fork_files {
	char *bundle; /* absolute */
	yajl_val config;
	bool made; /* the directory: to be removed, until fork_files_keep() */
};

/* Whether the container of the spec writes to what is at the host's end of the mount. */
bool fork_files_is_writable(const struct spec_mount *mount);
/* What is written to such a root stays in the machine's memory, or on a volume. */
bool fork_files_is_layer(const struct spec *spec);

/* The bundle of a second container at this path, where there is nothing yet; what is to be copied,
 * source after target, is added to *copies.  Touches nothing.  *files: fork_files_done(). */
int fork_files_plan(const struct state *state, const char *path, struct fork_files *files,
		    char ***copies, struct error **ret_error);
/* Makes the directory, without a config.json. EEXIST: there is one. */
int fork_files_begin(struct fork_files *files, struct error **ret_error);
/* The copies are there. */
int fork_files_finish(const struct fork_files *files, struct error **ret_error);
/* The bundle is the user's. */
void fork_files_keep(struct fork_files *files);
void fork_files_done(struct fork_files *files);
