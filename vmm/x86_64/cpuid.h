/* SPDX-License-Identifier: Apache-2.0 */
/* Processor features for the guest: KVM's, made to fit this machine. */
#pragma once

#include <linux/kvm.h>
#include <stdint.h>

#include "base/error.h"
#include "vmm/kvm/kvm.h"

#define CPUID_ENTRIES_MAX 256
#define CPUID_SIZE (sizeof(struct kvm_cpuid2) + CPUID_ENTRIES_MAX * sizeof(struct kvm_cpuid_entry2))

union cpuid {
	struct kvm_cpuid2 list;
	uint8_t room[CPUID_SIZE];
};

/* What KVM supports, without what this machine does not back. */
int cpuid_get(const struct kvm *kvm, uint32_t vcpus, union cpuid *ret_cpuid,
	      struct error **ret_error);
/* The per-vCPU parts: APIC ids and topology.  One package, one thread a core. */
void cpuid_set_vcpu(union cpuid *cpuid, uint32_t index, uint32_t vcpus);
