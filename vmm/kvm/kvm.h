/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM's virtual machine: what it must offer, memory slots, eventfds.
 *
 * Called while the machine is built, or gets memory, a vCPU or, paused, a device, by one
 * thread; else only the vCPUs' descriptors are used.
 */
#pragma once

#include <linux/kvm.h>
#include <stdint.h>

#include "base/error.h"
#include "virtio/memory.h"

struct kvm {
	int system_fd; /* /dev/kvm */
	int vm_fd;
	size_t run_size; /* of a vCPU's struct kvm_run mapping */
	unsigned n_slots;
};

/* Opens /dev/kvm, checks for everything the VMM relies on and makes a virtual
 * machine.  The error says what is missing. */
int kvm_open(uint32_t vcpus, struct kvm *ret_kvm, struct error **ret_error);
void kvm_close(struct kvm *kvm);
/* /dev/kvm itself: not needed any more once every vCPU is made. */
void kvm_close_system(struct kvm *kvm);

/* All regions of memory as slots.  Before kvm_create_irqchip: the other order
 * waits for an SRCU grace period per slot. */
int kvm_add_memory(struct kvm *kvm, const struct guest_memory *memory, struct error **ret_error);
/* One more; the guest may run. */
int kvm_add_region(struct kvm *kvm, const struct mem_region *region, struct error **ret_error);
int kvm_create_irqchip(struct kvm *kvm, struct error **ret_error);

/* A 4-byte write of value at gpa signals fd, without leaving the kernel. */
int kvm_add_ioeventfd(struct kvm *kvm, gpa_t gpa, uint32_t value, int fd, struct error **ret_error);
/* A signal of fd raises gsi, as an edge. */
int kvm_add_irqfd(struct kvm *kvm, uint32_t gsi, int fd, struct error **ret_error);
