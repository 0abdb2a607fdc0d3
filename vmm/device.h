/* From a device's part of the configuration to the device, whatever transport
 * will drive it. */
#pragma once

#include "base/error.h"
#include "virtio/device.h"
#include "vmm/vm-config.h"

struct shares;

/* Opens the files it names or takes their descriptors over; the device goes to a
 * transport.  shares: of its configuration (share.h). */
int device_new(const struct vm_device *device, struct shares *shares,
	       struct virtio_device **ret_device, struct error **ret_error);
/* The same for one file; flags as of open(2). */
int device_open_file(const struct vm_file *file, int flags, int *ret_fd, struct error **ret_error);
