/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of the virtual machine and its vCPUs, saved and loaded: see arch.h.
 *
 * Loading has an order (Linux, Documentation/virt/kvm/api.rst, and what depends on what):
 * features first (arch_init_vcpu()); special registers before the others; XCR0 before what it
 * enables; the time stamp counter before its deadline; the local APIC before the deadline,
 * which is lost if the APIC's timer is not in that mode.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "vmm/arch.h"
#include "vmm/x86_64/layout.h"

#define MSRS_MAX 512
#define MSR_TSC 0x10
#define MSR_TSC_DEADLINE 0x6e0

/* Of all that KVM keeps for a machine. */
struct vm_state {
	struct kvm_irqchip chips[3];
	struct kvm_clock_data clock;
};

struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp_state;
	struct kvm_lapic_state lapic;
	struct kvm_xcrs xcrs; /* where the processor has any */
	uint32_t has_xcrs, reserved;
};

union msrs {
	struct kvm_msrs list;
	uint8_t room[sizeof(struct kvm_msrs) + MSRS_MAX * sizeof(struct kvm_msr_entry)];
};

struct arch_saver {
	size_t n;
	uint32_t indices[MSRS_MAX];
	size_t xsave_size;
	bool has_xcrs;
};

const struct seccomp_call arch_save_calls[] = {
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_GET_MP_STATE) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_GET_SREGS) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_GET_DEBUGREGS) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_GET_LAPIC) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_GET_VCPU_EVENTS) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_GET_XCRS) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_GET_MSRS) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_GET_XSAVE) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_GET_XSAVE2) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_GET_IRQCHIP) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_GET_CLOCK) },
	/* the files, which are the caller's */
	{ SECCOMP_CALL(lseek, SECCOMP_BY_LOOP) },
	{ SECCOMP_CALL(fsync, SECCOMP_BY_LOOP) },
	{ 0 },
};

/* ---- what there is to be saved ---- */

static int list_msrs(const struct kvm *kvm, struct arch_saver *saver, struct error **ret_error)
{
	union {
		struct kvm_msr_list list;
		uint32_t room[1 + MSRS_MAX];
	} msrs = { .list.nmsrs = MSRS_MAX };

	if (ioctl(kvm->system_fd, KVM_GET_MSR_INDEX_LIST, &msrs) < 0)
		return error_set_errno(ret_error, errno, "cannot list KVM's MSRs");
	saver->n = msrs.list.nmsrs;
	(void)memcpy(saver->indices, msrs.list.indices, saver->n * sizeof(saver->indices[0]));
	return 0;
}

/* More than the structure has where the guest may use AMX. */
static size_t xsave_size(const struct kvm *kvm)
{
	int size = ioctl(kvm->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);

	return size > (int)sizeof(struct kvm_xsave) ? (size_t)size : sizeof(struct kvm_xsave);
}

int arch_saver_new(const struct kvm *kvm, struct arch_saver **ret_saver, struct error **ret_error)
{
	_cleanup_(arch_saver_freep) struct arch_saver *saver = xcalloc(1, sizeof(*saver));

	if (list_msrs(kvm, saver, ret_error) < 0)
		return -1;
	saver->xsave_size = xsave_size(kvm);
	saver->has_xcrs = ioctl(kvm->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XCRS) > 0;
	*ret_saver = TAKE_PTR(saver);
	return 0;
}

void arch_saver_free(struct arch_saver *saver)
{
	free(saver);
}

/* ---- the virtual machine ---- */

int arch_save_vm(const struct kvm *kvm, struct buffer *state, struct error **ret_error)
{
	struct vm_state vm = { 0 };

	for (uint32_t i = 0; i < ARRAY_SIZE(vm.chips); i++) {
		vm.chips[i].chip_id = i;
		if (ioctl(kvm->vm_fd, KVM_GET_IRQCHIP, &vm.chips[i]) < 0)
			return error_set_errno(ret_error, errno,
					       "cannot get interrupt controller %u", i);
	}
	if (ioctl(kvm->vm_fd, KVM_GET_CLOCK, &vm.clock) < 0)
		return error_set_errno(ret_error, errno, "cannot get the guest's clock");
	snapshot_put(state, SNAPSHOT_VM, 0, &vm, sizeof(vm));
	return 0;
}

int arch_load_vm(const struct kvm *kvm, const struct snapshot *state, struct error **ret_error)
{
	struct vm_state vm;

	if (snapshot_take(state, SNAPSHOT_VM, 0, &vm, sizeof(vm), ret_error) < 0)
		return -1;
	for (uint32_t i = 0; i < ARRAY_SIZE(vm.chips); i++)
		if (ioctl(kvm->vm_fd, KVM_SET_IRQCHIP, &vm.chips[i]) < 0)
			return error_set_errno(ret_error, errno,
					       "KVM refuses interrupt controller %u", i);
	/* It goes on where it stood: nothing of the time between, which the guest is told. */
	vm.clock.flags = 0;
	if (ioctl(kvm->vm_fd, KVM_SET_CLOCK, &vm.clock) < 0)
		return error_set_errno(ret_error, errno, "KVM refuses the guest's clock");
	return 0;
}

/* By its edge. */
static int raise_event(const struct kvm *kvm, uint32_t gsi, struct error **ret_error)
{
	struct kvm_irq_level line = { .irq = gsi, .level = 1 };

	if (ioctl(kvm->vm_fd, KVM_IRQ_LINE, &line) < 0)
		return error_set_errno(ret_error, errno, "KVM refuses interrupt %u", gsi);
	line.level = 0;
	(void)ioctl(kvm->vm_fd, KVM_IRQ_LINE, &line);
	return 0;
}

int arch_tell_renewed(const struct kvm *kvm, struct error **ret_error)
{
	return raise_event(kvm, GENERATION_GSI, ret_error);
}

int arch_tell_vcpus(const struct kvm *kvm, struct error **ret_error)
{
	return raise_event(kvm, VCPUS_GSI, ret_error);
}

/* ---- MSRs ---- */

/* KVM stops at one that it lists and does not have on this processor. */
static void read_msrs(int vcpu_fd, const struct arch_saver *saver, union msrs *ret_msrs)
{
	struct kvm_msr_entry *all = ret_msrs->list.entries;
	size_t n = 0;

	for (size_t at = 0; at < saver->n;) {
		union msrs some = { .list.nmsrs = (uint32_t)(saver->n - at) };
		size_t got;
		int r;

		for (size_t i = at; i < saver->n; i++)
			some.list.entries[i - at].index = saver->indices[i];
		r = ioctl(vcpu_fd, KVM_GET_MSRS, &some);
		got = r < 0 ? 0 : (size_t)r;
		(void)memcpy(all + n, some.list.entries, got * sizeof(*all));
		n += got;
		at += got + 1;
	}
	ret_msrs->list.nmsrs = (uint32_t)n;
}

static bool has_value(int vcpu_fd, const struct kvm_msr_entry *msr)
{
	union {
		struct kvm_msrs list;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(*msr)];
	} one = { .list.nmsrs = 1 };

	one.list.entries[0].index = msr->index;
	return ioctl(vcpu_fd, KVM_GET_MSRS, &one) == 1 && one.list.entries[0].data == msr->data;
}

/* Some can be read only; they have the value that they had. */
static int write_msrs(int vcpu_fd, const struct kvm_msr_entry *msrs, size_t n,
		      struct error **ret_error)
{
	union msrs some = { 0 };

	for (size_t at = 0; at < n;) {
		int set;

		some.list.nmsrs = (uint32_t)(n - at);
		(void)memcpy(some.list.entries, msrs + at, (n - at) * sizeof(*msrs));
		set = ioctl(vcpu_fd, KVM_SET_MSRS, &some);
		at += (size_t)MAX(set, 0);
		if (at == n)
			break;
		if (!has_value(vcpu_fd, &msrs[at]))
			return error_set(ret_error, EINVAL, "KVM refuses 0x%llx in MSR 0x%x",
					 (unsigned long long)msrs[at].data, msrs[at].index);
		at++;
	}
	return 0;
}

/* The time stamp counter first, its deadline by itself: see the file's head. */
static void order_msrs(struct kvm_msr_entry *msrs, size_t *n, struct kvm_msr_entry *ret_deadline)
{
	*ret_deadline = (struct kvm_msr_entry){ .index = MSR_TSC_DEADLINE };
	for (size_t i = 0; i < *n; i++) {
		const struct kvm_msr_entry msr = msrs[i];

		if (msr.index == MSR_TSC) {
			msrs[i] = msrs[0];
			msrs[0] = msr;
		} else if (msr.index == MSR_TSC_DEADLINE) {
			*ret_deadline = msr;
			msrs[i--] = msrs[--*n];
		}
	}
}

static int load_msrs(int vcpu_fd, uint32_t index, const struct snapshot *state,
		     struct kvm_msr_entry *ret_deadline, struct error **ret_error)
{
	_cleanup_free_ union msrs *msrs = xcalloc(1, sizeof(*msrs));
	const void *part;
	size_t size, n;

	if (snapshot_find(state, SNAPSHOT_MSRS, index, &part, &size, ret_error) < 0)
		return -1;
	n = size / sizeof(msrs->list.entries[0]);
	if (n == 0 || n > MSRS_MAX || size % sizeof(msrs->list.entries[0]) != 0)
		return error_set(ret_error, EINVAL, "%zu bytes are not a list of MSRs", size);
	(void)memcpy(msrs->list.entries, part, size);
	order_msrs(msrs->list.entries, &n, ret_deadline);
	return write_msrs(vcpu_fd, msrs->list.entries, n, ret_error);
}

/* ---- extended registers ---- */

static int save_xsave(int vcpu_fd, uint32_t index, size_t size, struct buffer *state,
		      struct error **ret_error)
{
	_cleanup_free_ void *xsave = xcalloc(1, size);
	const unsigned long request =
	    size > sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE;

	if (ioctl(vcpu_fd, request, xsave) < 0)
		return error_set_errno(ret_error, errno, "cannot get vCPU %u's extended registers",
				       index);
	snapshot_put(state, SNAPSHOT_XSAVE, index, xsave, size);
	return 0;
}

static int load_xsave(const struct kvm *kvm, int vcpu_fd, uint32_t index,
		      const struct snapshot *state, struct error **ret_error)
{
	const size_t expected = xsave_size(kvm);
	_cleanup_free_ void *xsave = xcalloc(1, expected);

	/* KVM reads as much as this processor's layout has, whatever is there. */
	if (snapshot_take(state, SNAPSHOT_XSAVE, index, xsave, expected, ret_error) < 0)
		return -1;
	if (ioctl(vcpu_fd, KVM_SET_XSAVE, xsave) < 0)
		return error_set_errno(ret_error, errno, "KVM refuses vCPU %u's extended registers",
				       index);
	return 0;
}

/* ---- a vCPU ---- */

/* One ioctl(2) that moves a structure between vCPU and state. */
struct step {
	unsigned long request;
	size_t offset; /* in struct vcpu_state */
	const char *name;
};
#define STEP(request, member)                                                                      \
	{                                                                                          \
		request, offsetof(struct vcpu_state, member), #member                              \
	}

static int move(int vcpu_fd, uint32_t index, const struct step *steps, size_t n,
		struct vcpu_state *state, struct error **ret_error)
{
	for (size_t i = 0; i < n; i++)
		if (ioctl(vcpu_fd, steps[i].request, (uint8_t *)state + steps[i].offset) < 0)
			return error_set_errno(ret_error, errno, "vCPU %u's %s", index,
					       steps[i].name);
	return 0;
}

int arch_save_vcpu(const struct arch_saver *saver, int vcpu_fd, uint32_t index,
		   struct buffer *state, struct error **ret_error)
{
	static const struct step steps[] = {
		/* First: KVM settles what is pending (an INIT, say) when it is asked for it. */
		STEP(KVM_GET_MP_STATE, mp_state), STEP(KVM_GET_REGS, regs),
		STEP(KVM_GET_SREGS, sregs),	  STEP(KVM_GET_DEBUGREGS, debugregs),
		STEP(KVM_GET_LAPIC, lapic),	  STEP(KVM_GET_VCPU_EVENTS, events),
	};
	static const struct step xcrs[] = { STEP(KVM_GET_XCRS, xcrs) };
	_cleanup_free_ struct vcpu_state *vcpu = xcalloc(1, sizeof(*vcpu));
	_cleanup_free_ union msrs *msrs = xcalloc(1, sizeof(*msrs));

	vcpu->has_xcrs = saver->has_xcrs;
	if (move(vcpu_fd, index, steps, ARRAY_SIZE(steps), vcpu, ret_error) < 0 ||
	    (saver->has_xcrs && move(vcpu_fd, index, xcrs, 1, vcpu, ret_error) < 0))
		return -1;
	read_msrs(vcpu_fd, saver, msrs);
	snapshot_put(state, SNAPSHOT_VCPU, index, vcpu, sizeof(*vcpu));
	snapshot_put(state, SNAPSHOT_MSRS, index, msrs->list.entries,
		     msrs->list.nmsrs * sizeof(msrs->list.entries[0]));
	return save_xsave(vcpu_fd, index, saver->xsave_size, state, ret_error);
}

int arch_load_vcpu(const struct kvm *kvm, int vcpu_fd, uint32_t index, const struct snapshot *state,
		   struct error **ret_error)
{
	static const struct step before[] = { STEP(KVM_SET_SREGS, sregs) };
	static const struct step xcrs[] = { STEP(KVM_SET_XCRS, xcrs) };
	static const struct step after[] = {
		STEP(KVM_SET_REGS, regs),	  STEP(KVM_SET_DEBUGREGS, debugregs),
		STEP(KVM_SET_LAPIC, lapic),	  STEP(KVM_SET_VCPU_EVENTS, events),
		STEP(KVM_SET_MP_STATE, mp_state),
	};
	_cleanup_free_ struct vcpu_state *vcpu = xcalloc(1, sizeof(*vcpu));
	struct kvm_msr_entry deadline;

	if (snapshot_take(state, SNAPSHOT_VCPU, index, vcpu, sizeof(*vcpu), ret_error) < 0 ||
	    move(vcpu_fd, index, before, ARRAY_SIZE(before), vcpu, ret_error) < 0 ||
	    (vcpu->has_xcrs && move(vcpu_fd, index, xcrs, 1, vcpu, ret_error) < 0) ||
	    load_xsave(kvm, vcpu_fd, index, state, ret_error) < 0 ||
	    load_msrs(vcpu_fd, index, state, &deadline, ret_error) < 0 ||
	    move(vcpu_fd, index, after, ARRAY_SIZE(after), vcpu, ret_error) < 0)
		return -1;
	return deadline.data == 0 ? 0 : write_msrs(vcpu_fd, &deadline, 1, ret_error);
}
