/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's virtio devices: from configuration to registers, kicks and
 * interrupts. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/loop.h"
#include "protocol/vm-config.h"
#include "virtio/device.h"
#include "virtio/memory.h"
#include "vmm/bus.h"
#include "vmm/kvm/kvm.h"
#include "vmm/snapshot.h"

struct devices;

struct devices_host {
	struct kvm *kvm;
	struct bus *mmio;
	struct guest_memory *memory;
	struct loop *loop;
};

/* In the configuration's order, which is also that of slots and interrupts, but for one in the last
 * slot (device_type.last).  The guest knows all slots there can be, and looks into those without a
 * device. */
int devices_new(const struct vm_config *config, const struct devices_host *host,
		struct devices **ret_devices, struct error **ret_error);
/* One more, behind all others, in a slot that was empty; no vCPU runs.  config: of the machine's.
 */
int devices_plug(struct devices *devices, const struct vm_device *config,
		 const struct devices_host *host, struct error **ret_error);
/* The configuration's index-th; it stays theirs. */
struct virtio_device *devices_device(const struct devices *devices, size_t index);
/* The state of each (virtio/mmio.h), of paused ones; what has none in a snapshot is new to
 * its guest. */
int devices_save(const struct devices *devices, struct buffer *state, struct error **ret_error);
int devices_load(struct devices *devices, const struct snapshot *state, struct error **ret_error);
/* No vCPU runs between the two; the loop's thread. */
void devices_pause(struct devices *devices);
void devices_resume(struct devices *devices);
/* No vCPU runs any more; the loop's thread. */
void devices_free(struct devices *devices);
DEFINE_CLEANUP(struct devices, devices_free)
