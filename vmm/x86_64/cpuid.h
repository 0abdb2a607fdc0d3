/* Processor features for the guest: KVM's, made to fit this machine. */
#pragma once

#include <linux/kvm.h>
#include <stdint.h>

#include "base/error.h"
#include "vmm/kvm.h"

#define CPUID_ENTRIES_MAX 256

struct cpuid {
	struct kvm_cpuid2 head; /* nent of */
	struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX];
};

/* What KVM supports, without what this machine does not back. */
int cpuid_get(const struct kvm *kvm, uint32_t vcpus, struct cpuid *ret_cpuid,
	      struct error **ret_error);
/* The per-vCPU parts: APIC ids and topology.  One package, one thread a core. */
void cpuid_set_vcpu(struct cpuid *cpuid, uint32_t index, uint32_t vcpus);
