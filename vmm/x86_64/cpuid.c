/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID: see cpuid.h.  Leaf numbers and bits as in the Intel SDM (volume 2,
 * CPUID) and the AMD APM (volume 3, appendix E).
 */
#include "vmm/x86_64/cpuid.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>

#define BIT(n) (1U << (n))

static struct kvm_cpuid_entry2 *find(union cpuid *cpuid, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < cpuid->list.nent; i++)
		if (cpuid->list.entries[i].function == function &&
		    cpuid->list.entries[i].index == index)
			return &cpuid->list.entries[i];
	return NULL;
}

static void remove_function(union cpuid *cpuid, uint32_t function)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpuid->list.nent; i++)
		if (cpuid->list.entries[i].function != function)
			cpuid->list.entries[kept++] = cpuid->list.entries[i];
	cpuid->list.nent = kept;
}

static void add(union cpuid *cpuid, const struct kvm_cpuid_entry2 *entry)
{
	if (cpuid->list.nent < CPUID_ENTRIES_MAX)
		cpuid->list.entries[cpuid->list.nent++] = *entry;
}

/* Bits of an APIC id that number `count` processors. */
static uint32_t id_width(uint32_t count)
{
	uint32_t width = 0;

	while ((1U << width) < count)
		width++;
	return width;
}

static void fix_features(const struct kvm *kvm, union cpuid *cpuid)
{
	struct kvm_cpuid_entry2 *leaf = find(cpuid, 1, 0);

	if (leaf) {
		leaf->ecx |= BIT(31);			   /* running under a hypervisor */
		leaf->ecx &= ~(BIT(3) | BIT(5) | BIT(15)); /* MONITOR, VMX, PDCM (no PMU) */
		leaf->ecx &= ~BIT(24);
		if (ioctl(kvm->system_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
			leaf->ecx |= BIT(24); /* which KVM reports only this way */
	}
	leaf = find(cpuid, 7, 0);
	if (leaf)
		leaf->ebx &= ~BIT(2); /* SGX */
	leaf = find(cpuid, 0x80000001, 0);
	if (leaf)
		leaf->ecx &= ~(BIT(2) | BIT(23)); /* SVM, performance counters */
	/* No performance counters (10, 0x80000022), no SGX (18), processor trace (20) or resource
	 * control (15, 16), no nested SVM: nothing here backs them. */
	remove_function(cpuid, 0x0a);
	remove_function(cpuid, 0x0f);
	remove_function(cpuid, 0x10);
	remove_function(cpuid, 0x12);
	remove_function(cpuid, 0x14);
	remove_function(cpuid, 0x8000000a);
	remove_function(cpuid, 0x80000022);
}

/* Extended topology: threads (one a core), then cores. */
static void fix_extended_topology(union cpuid *cpuid, uint32_t function, uint32_t vcpus)
{
	bool present = find(cpuid, function, 0) != NULL;
	struct kvm_cpuid_entry2 level = { .function = function,
					  .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX };

	remove_function(cpuid, function);
	if (!present)
		return;
	level.ebx = 1;
	level.ecx = 1 << 8; /* level 0: SMT */
	add(cpuid, &level);
	level.index = 1;
	level.eax = id_width(vcpus);
	level.ebx = vcpus;
	level.ecx = 2 << 8 | 1; /* level 1: core */
	add(cpuid, &level);
}

int cpuid_get(const struct kvm *kvm, uint32_t vcpus, union cpuid *ret_cpuid,
	      struct error **ret_error)
{
	(void)memset(ret_cpuid, 0, sizeof(*ret_cpuid));
	ret_cpuid->list.nent = CPUID_ENTRIES_MAX;
	if (ioctl(kvm->system_fd, KVM_GET_SUPPORTED_CPUID, ret_cpuid) < 0)
		return error_set_errno(ret_error, errno,
				       "cannot get the processor features of KVM");
	fix_features(kvm, ret_cpuid);
	fix_extended_topology(ret_cpuid, 0x0b, vcpus);
	fix_extended_topology(ret_cpuid, 0x1f, vcpus);
	return 0;
}

/* Leaves 4 (Intel) and 0x8000001d (AMD): who shares a cache. EAX 7:5 is the
 * level, 25:14 the sharing processors - 1, 31:26 (Intel) cores - 1. */
static void fix_cache(struct kvm_cpuid_entry2 *entry, uint32_t vcpus)
{
	uint32_t level = entry->eax >> 5 & 7;
	uint32_t sharing = level >= 3 ? vcpus - 1 : 0;

	if ((entry->eax & 0x1f) == 0) /* the list's end */
		return;
	entry->eax = (entry->eax & 0x3fff) | sharing << 14;
	if (entry->function == 4)
		entry->eax |= (vcpus - 1 < 63 ? vcpus - 1 : 63) << 26;
}

void cpuid_set_vcpu(union cpuid *cpuid, uint32_t index, uint32_t vcpus)
{
	for (uint32_t i = 0; i < cpuid->list.nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->list.entries[i];

		switch (entry->function) {
		case 1: /* EBX 31:24 initial APIC id, 23:16 ids in the package */
			entry->ebx =
			    (entry->ebx & 0xffff) | index << 24 | 1U << id_width(vcpus) << 16;
			break;
		case 0x0b:
		case 0x1f:
			entry->edx = index;
			break;
		case 4:
		case 0x8000001d:
			fix_cache(entry, vcpus);
			break;
		case 0x80000001: /* ECX 1: more than one core, all in one package */
			entry->ecx = (entry->ecx & ~BIT(1)) | (vcpus > 1 ? BIT(1) : 0);
			break;
		case 0x80000008: /* ECX 15:12 width of ids, 7:0 cores - 1 */
			entry->ecx = id_width(vcpus) << 12 | (vcpus - 1);
			break;
		case 0x8000001e: /* EAX APIC id, EBX 15:8 threads - 1, 7:0 core, ECX node 0 of 1 */
			entry->eax = index;
			entry->ebx = index & 0xff;
			entry->ecx = 0;
			break;
		default:
			break;
		}
	}
}
