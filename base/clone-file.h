/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of large files. */
#pragma once

#include "base/error.h"

/* Makes an empty file the same as another regular one: it shares that one's blocks where the file
 * system can (FICLONE), else has a copy of its data, with the same holes.  Waits for the disk, and
 * the copy is on it then (fsync(2)).  Fails as read(2) and write(2) do; then target_fd has a part.
 */
int clone_file(int source_fd, int target_fd, struct error **ret_error);
