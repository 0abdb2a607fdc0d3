/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The types of devices there are, in one table (device.c): how each is made of its part of
 * the configuration, whatever transport will drive it, and what it needs of the VMM.  What
 * the document may say of it is in protocol/vm-device.c.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "protocol/vm-config.h"
#include "virtio/devices.h"
#include "vmm/seccomp.h"

struct device_type {
	/* What the devices of this type in a machine have in common: made before the first of
	 * them, with every privilege, and released after the last.  NULL: nothing. */
	int (*prepare)(const struct vm_config *config, void **ret_common, struct error **ret_error);
	void (*release)(void *common);
	/* Opens the files it names or takes their descriptors over; the device goes to a
	 * transport.  common: of prepare(). */
	int (*create)(const struct vm_device *device, void *common,
		      struct virtio_device **ret_device, struct error **ret_error);
	/* Its threads need the caller's user, and so does the process whose memory they share. */
	bool keeps_user;
	/* System calls that it makes beyond those of every machine.  NULL: none. */
	const struct seccomp_call *calls;
	/* The same for making one when the process is jailed already.  NULL: it is made before, so
	 * it cannot come to a machine that waits. */
	const struct seccomp_call *late_calls;
	/* Plugs or pulls its cable; the loop's thread.  NULL: it has none. */
	void (*set_link)(struct virtio_device *device, bool up);
	/* Its slot is the last of all: the guest looks there when it is told to, not at its start.
	 * It says little, and takes no call of KVM's to be there. */
	bool last;
	/* Memory that comes and goes, of which a machine has one device at most: how much at most
	 * (bytes); where it is to be, before the device is loaded or the guest runs; how much there
	 * shall be from now on, by the loop's thread.  NULL, all three: it is none. */
	uint64_t (*room)(const struct vm_device *device);
	void (*place)(struct virtio_device *device, const struct mem_place *place);
	int (*request)(struct virtio_device *device, uint64_t size, struct error **ret_error);
	/* How QEMU's microvm has it (qemu/qemu-command.c). */
	struct {
		const char *name; /* of its front-end to ours, or of its own */
		bool own;	  /* QEMU's own serves as well: ours is not made */
		/* The kind of -netdev that speaks to ours for the front-end; NULL: it does so
		 * itself. */
		const char *netdev;
		/* Where there is a netdev, which is told by the monitor. */
		bool (*link_is_up)(struct virtio_device *device);
		/* ",NAME=VALUE…" for the front-end; caller frees.  NULL: none. */
		char *(*options)(const struct vm_device *device);
		char *(*netdev_options)(const struct vm_device *device); /* likewise */
	} qemu;
};

const struct device_type *device_type(enum vm_device_type type);

/* The lists of what the configuration's devices need, and those that a pooled machine may get;
 * returns how many. */
#define DEVICE_CALLS_MAX (2 * VM_DEVICE_TYPES)
size_t device_calls(const struct vm_config *config,
		    const struct seccomp_call *ret_lists[DEVICE_CALLS_MAX]);

/* The configuration's device with memory that comes and goes: its place among them, and how much it
 * may be; false: it has none. */
bool device_find_room(const struct vm_config *config, size_t *ret_index, uint64_t *ret_size);

/* Does one of the configuration's keep the caller's user? */
bool device_keeps_user(const struct vm_config *config);

/* Makes the devices of one configuration, which must outlive it. */
struct device_maker;
int device_maker_new(const struct vm_config *config, struct device_maker **ret_maker,
		     struct error **ret_error);
/* Every device is gone; NULL is fine. */
void device_maker_free(struct device_maker *maker);
DEFINE_CLEANUP(struct device_maker, device_maker_free)
/* device: of that configuration. */
int device_new(const struct device_maker *maker, const struct vm_device *device,
	       struct virtio_device **ret_device, struct error **ret_error);

/* The file, or its descriptor, which is taken over; flags as of open(2). */
int device_open_file(const struct vm_file *file, int flags, int *ret_fd, struct error **ret_error);
/* Is the console's output the log's, for it has no other place? */
bool device_logs_console(const struct vm_device *device);
