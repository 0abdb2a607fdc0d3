/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a checkpoint, which may be the last of a chain: of its memory it has what has changed
 * since its parent was made, which has the rest, or a parent of its own.
 *
 * A manifest names the parent by its path, relative to its own directory, and by the name that the
 * parent's manifest had: one that has gone, or another in its place, is an error.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "protocol/vm-config.h"
#include "sandbox/checkpoint-manifest.h"

/* A checkpoint with all of the memory, and those with changes. */
#define CHECKPOINT_CHAIN_MAX (1 + VM_CHANGES_MAX)

struct checkpoint_memory {
	int fds[CHECKPOINT_CHAIN_MAX]; /* the oldest first */
	size_t n;
};
void checkpoint_memory_close(struct checkpoint_memory *memory);

/* A file of the checkpoint in dir_fd, which is called path in errors.  ENOENT: it is not one. */
int checkpoint_open_part(int dir_fd, const char *path, const char *name, int *ret_fd,
			 struct error **ret_error);
/* Its manifest: checkpoint_manifest_parse(). */
int checkpoint_open_manifest(int dir_fd, const char *path,
			     struct checkpoint_manifest **ret_manifest, struct error **ret_error);
/* The memory of the checkpoint in dir_fd, which has that manifest.  Of any size: what the files are
 * is the VMM's to say.  EINVAL: a parent is another one, or of another machine; EFBIG: the chain is
 * too long; EEXIST: one of the directories is not_fd's (-1: none). Failed: nothing is open. */
int checkpoint_memory_open(int dir_fd, const char *path, const struct checkpoint_manifest *manifest,
			   int not_fd, struct checkpoint_memory *ret_memory,
			   struct error **ret_error);
