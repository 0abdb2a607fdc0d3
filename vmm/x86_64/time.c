/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time of a machine that waits, paused, for somebody to take it: it does not pass.  kvmclock and
 * the time stamp counters are put back together, so that no clock of the guest's tells of the
 * hours between.  (A jump of more than some minutes is beyond what Linux can count between two
 * ticks.)  A timer that has fired meanwhile is one interrupt too early, which Linux ignores.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/arch.h"

#define MSR_TSC 0x10

const struct seccomp_call arch_pool_calls[] = {
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_GET_CLOCK) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_SET_CLOCK) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_GET_MSRS) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_SET_MSRS) },
	/* a device that comes: its kicks and its interrupt */
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_IOEVENTFD) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_IRQFD) },
	/* the directory of who takes it */
	{ SECCOMP_CALL(fchdir, SECCOMP_BY_LOOP) },
	{ 0 },
};

union one_msr {
	struct kvm_msrs list;
	uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
};

int arch_stop_time(const struct kvm *kvm, struct arch_time *ret_time, struct error **ret_error)
{
	struct kvm_clock_data clock = { 0 };

	if (ioctl(kvm->vm_fd, KVM_GET_CLOCK, &clock) < 0)
		return error_set_errno(ret_error, errno, "cannot get the guest's clock");
	ret_time->clock_ns = clock.clock;
	return 0;
}

int arch_stop_counter(int vcpu_fd, uint64_t *ret_counter, struct error **ret_error)
{
	union one_msr msr = { .list.nmsrs = 1 };

	msr.list.entries[0].index = MSR_TSC;
	if (ioctl(vcpu_fd, KVM_GET_MSRS, &msr) != 1)
		return error_set(ret_error, EINVAL, "cannot get a vCPU's time stamp counter");
	*ret_counter = msr.list.entries[0].data;
	return 0;
}

int arch_go_on(const struct kvm *kvm, const struct arch_time *time, struct error **ret_error)
{
	const struct kvm_clock_data clock = { .clock = time->clock_ns };

	if (ioctl(kvm->vm_fd, KVM_SET_CLOCK, &clock) < 0)
		return error_set_errno(ret_error, errno, "KVM refuses the guest's clock");
	return 0;
}

int arch_go_on_counter(int vcpu_fd, uint64_t counter, struct error **ret_error)
{
	union one_msr msr = { .list.nmsrs = 1 };

	msr.list.entries[0] = (struct kvm_msr_entry){ .index = MSR_TSC, .data = counter };
	if (ioctl(vcpu_fd, KVM_SET_MSRS, &msr) != 1)
		return error_set(ret_error, EINVAL, "KVM refuses a vCPU's time stamp counter");
	return 0;
}
