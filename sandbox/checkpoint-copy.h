/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies that a process of their own makes, while a machine stands still to be saved: of a volume's
 * file, and of a directory that the container writes to (`fork`).  Where the file system can share
 * blocks (FICLONE), a copy shares them.
 *
 * function is called once, from the loop, with an error or NULL; the copy is freed then.
 * checkpoint_copy_free() before that ends it, and function is not called.  What has been copied by
 * then is the caller's to remove.
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"

struct checkpoint_copy;

typedef void checkpoint_copy_fn(void *data, const struct error *error);

/* To an empty file, which is on the disk then.  name: the source's, for messages; it stays. */
int checkpoint_copy_file(struct loop *loop, const char *name, int source_fd, int target_fd,
			 checkpoint_copy_fn *function, void *data,
			 struct checkpoint_copy **ret_copy, struct error **ret_error);
/* Of a file, or of a directory with all that is below on the same file system, as cp(1) -a does it:
 * times, owners, extended attributes and hard links are the same.  target: absolute, must not
 * exist.  Both stay. */
int checkpoint_copy_tree(struct loop *loop, const char *source, const char *target,
			 checkpoint_copy_fn *function, void *data,
			 struct checkpoint_copy **ret_copy, struct error **ret_error);
void checkpoint_copy_free(struct checkpoint_copy *copy);
