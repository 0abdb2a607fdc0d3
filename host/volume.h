/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume: a file or block device of the host that the guest has as a disk of
 * its own (virtio-blk), with a file system that only the guest reads.
 *
 * The host never reads a file system that a guest has written.  It only makes one, on
 * a blank file or device.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* A volume at some moment, and a copy of what it had then. */
struct volume_past {
	int fd; /* of a regular file; it stays its owner's */
	uint64_t size;
	uint64_t mtime; /* nanoseconds since 1970 */
};

struct volume {
	char *source; /* absolute host path */
	bool readonly;
	bool format;			/* make an ext4 file system if it is blank */
	uint64_t size;			/* bytes of a file that is to be made; 0: it must exist */
	const struct volume_past *past; /* it must be so again; NULL: it is what it is */
};

/*
 * Opens the volume for the machine: makes the file if there is none (mode 0600,
 * sparse), the file system if it is blank, or what it had in the past, and takes a lock (flock(2))
 * that goes with the descriptor: several machines may read a volume, one may write it. *ret_fd
 * (close-on-exec) is open for writing unless readonly.
 *
 * within: as for beneath_open().  Errors name the source: EPERM (it lies elsewhere), ENOENT, EBUSY
 * (another machine has it), EINVAL (neither file nor block device, or of no size), EEXIST (it is
 * not as it was in the past).  Runs mkfs.ext4 and waits for it: not for a process that
 * reaps children elsewhere.
 */
int volume_open(const struct volume *volume, const char *const *within, int *ret_fd,
		struct error **ret_error);
