/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that is kept as what has changed since it was last kept.
 *
 * The past of a memory is a list of files, the oldest first: one with all of it (ram_save()), and
 * any number with changes, each against all before it.  Such a file has
 *
 *   the pages that have changed, where they are in the memory; a hole is zeroes
 *   behind them, at the size of the memory: a head, and a bit for each page, 1: it has changed
 *
 * A memory may have grown in between: a file has what there was of it by then.
 *
 * What has changed is found by comparing: it does not matter who has written, nor from what the
 * memory was mapped.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "vmm/ram.h"

/* Over memory that was mapped from the first file (ram_map_file()): the pages of the others, the
 * newest of each.  Nobody uses the memory yet; the descriptors are needed no more.  EINVAL: a file
 * that is none of these, or of another memory. */
int ram_map_changes(struct ram *ram, const int *fds, size_t n, struct error **ret_error);

/* Into an empty file, what is not as in the past, n files.  If the guest writes meanwhile, what the
 * file says is as good a past as any, and no state that the memory has been in.  EINVAL: as above.
 */
int ram_save_changes(const struct ram *ram, const int *past, size_t n, int target_fd,
		     struct error **ret_error);
