/*
 * Shares: the FUSE server (rootfs/) behind the file system device (virtio/), on
 * threads that keep the privileges which files need (jail.h) while the rest of
 * the VMM gives up all.
 */
#pragma once

#include "base/error.h"
#include "virtio/device.h"
#include "vmm/vm-config.h"

/* What the shares of a machine have in common: threads, and limits. */
struct shares;
/* jail_prepare() was called, jail_enter() not yet.  NULL where there is no share. */
int shares_new(const struct vm_config *config, struct shares **ret_shares,
	       struct error **ret_error);
/* Every device is gone; NULL is fine. */
void shares_free(struct shares *shares);
DEFINE_CLEANUP(struct shares, shares_free)

/* device: of the same configuration.  The directory's descriptor stays open. */
int share_new(struct shares *shares, const struct vm_device *device,
	      struct virtio_device **ret_device, struct error **ret_error);
