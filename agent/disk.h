/* SPDX-License-Identifier: Apache-2.0 */
/* Disks (virtio-blk) by their serial numbers. */
#pragma once

#include <stdint.h>

#include "base/error.h"

/* The device node of the disk with this serial number, which may appear a moment
 * late (ENOENT when it does not).  block_dir as in struct agent_config; caller frees. */
int disk_wait(const char *block_dir, const char *serial, char **ret_device,
	      struct error **ret_error);

/* A partition of the device, as number (from 1 on) of those that the agent makes: the ones that
 * the kernel has found in what the disk holds go before the first.  Bytes, multiples of 512, below
 * 2^63 together; what does not lie within the device is refused.  The partition's device node;
 * caller frees. */
int disk_cut(const char *block_dir, const char *device, unsigned number, uint64_t offset,
	     uint64_t size, char **ret_part, struct error **ret_error);
