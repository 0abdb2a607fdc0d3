/* SPDX-License-Identifier: Apache-2.0 */
/* Disks (virtio-blk) by their serial numbers. */
#pragma once

#include "base/error.h"

/* The device node of the disk with this serial number, which may appear a moment
 * late (ENOENT when it does not).  block_dir as in struct agent_config; caller frees. */
int disk_wait(const char *block_dir, const char *serial, char **ret_device,
	      struct error **ret_error);
