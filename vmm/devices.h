/* The machine's virtio devices: from configuration to registers, kicks and
 * interrupts. */
#pragma once

#include "base/error.h"
#include "base/loop.h"
#include "virtio/memory.h"
#include "vmm/bus.h"
#include "vmm/kvm.h"
#include "vmm/vm-config.h"

struct devices;

struct devices_host {
	struct kvm *kvm;
	struct bus *mmio;
	struct guest_memory *memory;
	struct loop *loop;
};

/* In the configuration's order, which is also that of slots and interrupts. */
int devices_new(const struct vm_config *config, const struct devices_host *host,
		struct devices **ret_devices, struct error **ret_error);
/* No vCPU runs any more; the loop's thread. */
void devices_free(struct devices *devices);
DEFINE_CLEANUP(struct devices, devices_free)
