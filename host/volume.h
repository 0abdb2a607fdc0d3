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

struct volume {
	char *source; /* absolute host path */
	bool readonly;
	bool format;   /* make an ext4 file system if it is blank */
	uint64_t size; /* bytes of a file that is to be made; 0: it must exist */
};

/*
 * Opens the volume for the machine: makes the file if there is none (mode 0600,
 * sparse), the file system if it is blank, and takes a lock (flock(2)) that goes
 * with the descriptor: several machines may read a volume, one may write it.
 * *ret_fd (close-on-exec) is open for writing unless readonly.
 *
 * within: as for beneath_open().  Errors name the source: EPERM (it lies elsewhere), ENOENT, EBUSY
 * (another machine has it), EINVAL (neither file nor block device, or of no size).  Runs mkfs.ext4
 * and waits for it: not for a process that reaps children elsewhere.
 */
int volume_open(const struct volume *volume, const char *const *within, int *ret_fd,
		struct error **ret_error);
