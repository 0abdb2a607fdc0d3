/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual machine's and the vCPUs' registers: see arch.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/alloc.h"
#include "vmm/arch.h"
#include "vmm/x86_64/cpuid.h"
#include "vmm/x86_64/layout.h"

#define CR0_PE (1UL << 0)
#define CR0_ET (1UL << 4)
#define CR0_PG (1UL << 31)
#define CR4_PAE (1UL << 5)
#define EFER_LME (1UL << 8)
#define EFER_LMA (1UL << 10)
#define RFLAGS_RESERVED 2 /* bit 1 is always set */

#define LOCAL_APIC_LVT0 0x350
#define LVT_EXTINT (7U << 8)
#define LVT_MASKED (1U << 16)

#define CPUID_AMD_TOPOLOGY 0x80000026

#define MSR_MISC_ENABLE 0x1a0
#define MISC_ENABLE_FAST_STRINGS 1
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_ENABLED_WRITE_BACK (1 << 11 | 6)

struct arch_cpu {
	uint32_t vcpus;
	union cpuid cpuid;
};

/* The index is within the filter's sight, so that there are never more of them than documents can
 * ask for. */
_Static_assert(VM_VCPUS_MAX == 64, "the bits of an index");
const struct seccomp_call arch_vcpu_calls[] = {
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_CREATE_VCPU),
	  SECCOMP_AND_BUT(2, VM_VCPUS_MAX - 1, 0) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_SET_CPUID2) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_GET_MSRS) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_SET_MSRS) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_GET_LAPIC) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_SET_LAPIC) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_IRQ_LINE) },
	{ 0 },
};

int arch_init_vm(struct kvm *kvm, struct error **ret_error)
{
	uint64_t identity_map = KVM_IDENTITY_MAP;

	/* Pages that KVM needs for itself on older Intel processors. */
	if (ioctl(kvm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0 ||
	    ioctl(kvm->vm_fd, KVM_SET_TSS_ADDR, KVM_TSS) < 0)
		return error_set_errno(ret_error, errno,
				       "KVM refuses the address of its TSS or identity map");
	return 0;
}

int arch_cpu_new(const struct kvm *kvm, uint32_t vcpus, struct arch_cpu **ret_cpu,
		 struct error **ret_error)
{
	_cleanup_(arch_cpu_freep) struct arch_cpu *cpu = xcalloc(1, sizeof(*cpu));

	cpu->vcpus = vcpus;
	if (cpuid_get(kvm, vcpus, &cpu->cpuid, ret_error) < 0)
		return -1;
	*ret_cpu = TAKE_PTR(cpu);
	return 0;
}

void arch_cpu_free(struct arch_cpu *cpu)
{
	free(cpu);
}

/* What firmware would have set on every processor: memory is write-back unless
 * a page says otherwise (Linux gives up PAT when MTRRs are off), and string
 * moves are fast (Linux drops ERMS when they are not). */
static int set_msrs(int vcpu_fd, struct error **ret_error)
{
	union {
		struct kvm_msrs list;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} msrs = { .list.nmsrs = 1 };
	struct kvm_msr_entry *msr = msrs.list.entries;

	*msr = (struct kvm_msr_entry){ .index = MSR_MISC_ENABLE };
	if (ioctl(vcpu_fd, KVM_GET_MSRS, &msrs) == 1) {
		msr->data |= MISC_ENABLE_FAST_STRINGS;
		(void)ioctl(vcpu_fd, KVM_SET_MSRS, &msrs);
	}
	*msr =
	    (struct kvm_msr_entry){ .index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLED_WRITE_BACK };
	if (ioctl(vcpu_fd, KVM_SET_MSRS, &msrs) != 1)
		return error_set(ret_error, EIO, "KVM refuses the memory type register");
	return 0;
}

/* Long mode with paging on, flat segments, interrupts off: boot.rst, "64-bit
 * BOOT PROTOCOL". */
static void fill_sregs(struct kvm_sregs *sregs)
{
	const struct kvm_segment data = {
		.limit = 0xffffffff,
		.selector = BOOT_DS,
		.type = 3, /* read, write, accessed */
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1,
	};

	sregs->cs = (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = BOOT_CS,
		.type = 11, /* execute, read, accessed */
		.present = 1,
		.s = 1,
		.l = 1,
		.g = 1,
	};
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	sregs->gdt.base = GDT_START;
	sregs->gdt.limit = BOOT_DS + 8 - 1;
	sregs->idt.limit = 0; /* any exception this early ends the machine */
	sregs->cr0 = CR0_PE | CR0_ET | CR0_PG;
	sregs->cr3 = PAGE_TABLES_START;
	sregs->cr4 = CR4_PAE;
	sregs->efer = EFER_LME | EFER_LMA;
}

/* KVM connects the first vCPU's LINT0 to its 8259s, as a PC's firmware does, and
 * routes the first 16 interrupts there too.  This machine has none (MADT without
 * PCAT_COMPAT), nobody would set them up, and their vectors are exceptions'. */
static int mask_lint0(int vcpu_fd, struct error **ret_error)
{
	struct kvm_lapic_state lapic;
	const uint32_t masked = LVT_MASKED | LVT_EXTINT;

	if (ioctl(vcpu_fd, KVM_GET_LAPIC, &lapic) < 0)
		return error_set_errno(ret_error, errno, "cannot get a local APIC's state");
	(void)memcpy(lapic.regs + LOCAL_APIC_LVT0, &masked, sizeof(masked));
	if (ioctl(vcpu_fd, KVM_SET_LAPIC, &lapic) < 0)
		return error_set_errno(ret_error, errno, "KVM refuses a local APIC's state");
	return 0;
}

static int set_entry(int vcpu_fd, gpa_t entry, struct error **ret_error)
{
	struct kvm_regs regs = {
		.rip = entry,
		.rsi = BOOT_PARAMS_START,
		.rflags = RFLAGS_RESERVED,
	};
	struct kvm_sregs sregs;

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
		return error_set_errno(ret_error, errno, "cannot get a vCPU's registers");
	fill_sregs(&sregs);
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu_fd, KVM_SET_REGS, &regs) < 0)
		return error_set_errno(ret_error, errno, "KVM refuses a vCPU's registers");
	return 0;
}

int arch_init_vcpu(const struct arch_cpu *cpu, int vcpu_fd, uint32_t index,
		   struct error **ret_error)
{
	_cleanup_free_ union cpuid *cpuid = xmemdup(&cpu->cpuid, sizeof(cpu->cpuid));

	cpuid_set_vcpu(cpuid, index, cpu->vcpus);
	if (ioctl(vcpu_fd, KVM_SET_CPUID2, cpuid) < 0)
		return error_set_errno(ret_error, errno, "KVM refuses a vCPU's features");
	return 0;
}

/* Those of the first vCPU: KVM tells some of the processor that it was asked on. */
static union cpuid *first_vcpu(const struct arch_cpu *cpu, size_t *ret_size)
{
	union cpuid *cpuid = xmemdup(&cpu->cpuid, sizeof(cpu->cpuid));

	cpuid_set_vcpu(cpuid, 0, cpu->vcpus);
	*ret_size = cpuid->list.nent * sizeof(cpuid->list.entries[0]);
	return cpuid;
}

void arch_save_cpu(const struct arch_cpu *cpu, struct buffer *state)
{
	size_t size;
	_cleanup_free_ union cpuid *cpuid = first_vcpu(cpu, &size);

	snapshot_put(state, SNAPSHOT_CPU, 0, cpuid->list.entries, size);
}

static const struct kvm_cpuid_entry2 *find_leaf(const struct kvm_cpuid_entry2 *entries, size_t n,
						const struct kvm_cpuid_entry2 *like)
{
	for (size_t i = 0; i < n; i++)
		if (entries[i].function == like->function && entries[i].index == like->index)
			return &entries[i];
	return NULL;
}

int arch_check_cpu(const struct arch_cpu *cpu, const struct snapshot *state,
		   struct error **ret_error)
{
	size_t size, n;
	_cleanup_free_ union cpuid *cpuid = first_vcpu(cpu, &size);
	const struct kvm_cpuid_entry2 *entries = cpuid->list.entries;
	const uint8_t *saved;

	n = size / sizeof(*entries);
	if (snapshot_find(state, SNAPSHOT_CPU, 0, (const void **)&saved, &size, ret_error) < 0)
		return -1;
	if (size % sizeof(*entries) != 0)
		return error_set(ret_error, EINVAL, "%zu bytes are not the features of a processor",
				 size);
	for (; size > 0; size -= sizeof(*entries), saved += sizeof(*entries)) {
		const struct kvm_cpuid_entry2 *mine;
		struct kvm_cpuid_entry2 leaf;

		(void)memcpy(&leaf, saved, sizeof(leaf));
		mine = find_leaf(entries, n, &leaf);
		/* Topology by APIC ids, of whichever processor answered. */
		if (leaf.function == CPUID_AMD_TOPOLOGY)
			continue;
		if (!mine || mine->eax != leaf.eax || mine->ebx != leaf.ebx ||
		    mine->ecx != leaf.ecx || mine->edx != leaf.edx)
			return error_set(ret_error, EINVAL,
					 "this processor, or this kernel's KVM, has other features "
					 "than those it was saved with (CPUID leaf 0x%x, %u)",
					 leaf.function, leaf.index);
	}
	return 0;
}

/* KVM lists the local APICs that there are when one is reset, which a new one is before it is among
 * them: it would get no interrupt, not even INIT, until something else changes.  Its state, set as
 * it is, is such a change. */
static int list_lapic(int vcpu_fd, struct error **ret_error)
{
	struct kvm_lapic_state lapic;

	if (ioctl(vcpu_fd, KVM_GET_LAPIC, &lapic) < 0)
		return error_set_errno(ret_error, errno, "cannot get a local APIC's state");
	if (ioctl(vcpu_fd, KVM_SET_LAPIC, &lapic) < 0)
		return error_set_errno(ret_error, errno, "KVM refuses a local APIC's state");
	return 0;
}

int arch_reset_new_vcpu(int vcpu_fd, struct error **ret_error)
{
	return set_msrs(vcpu_fd, ret_error) < 0 ? -1 : list_lapic(vcpu_fd, ret_error);
}

int arch_reset_vcpu(int vcpu_fd, uint32_t index, gpa_t entry, struct error **ret_error)
{
	if (set_msrs(vcpu_fd, ret_error) < 0)
		return -1;
	if (index > 0)
		return 0;
	return mask_lint0(vcpu_fd, ret_error) < 0 ? -1 : set_entry(vcpu_fd, entry, ret_error);
}

void arch_vcpu_where(int vcpu_fd, char *ret_text, size_t size)
{
	struct kvm_regs regs;

	ret_text[0] = '\0';
	if (ioctl(vcpu_fd, KVM_GET_REGS, &regs) == 0)
		(void)snprintf(ret_text, size, "rip 0x%llx", (unsigned long long)regs.rip);
}
