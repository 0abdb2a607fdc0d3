/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shares: the FUSE server (rootfs/share/) behind the file system device (virtio/), on
 * threads that keep the privileges for files (share.c); the rest of the VMM drops all.
 */
#pragma once

#include "base/error.h"
#include "protocol/vm-config.h"
#include "virtio/device.h"
#include "vmm/seccomp.h"

/* The entry of the file system device in the table of device.c.  What the shares of a machine
 * have in common is threads, and limits: jail_prepare() was called, jail_enter() not yet. */
int shares_new(const struct vm_config *config, void **ret_shares, struct error **ret_error);
void shares_free(void *shares);
extern const struct seccomp_call share_calls[];
/* The directory's descriptor stays open. */
int share_new(const struct vm_device *device, void *shares, struct virtio_device **ret_device,
	      struct error **ret_error);
