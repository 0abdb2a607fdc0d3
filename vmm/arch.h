/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine asks of the processor architecture; everything that depends
 * on it is behind this header (vmm/x86_64/).  Called by one thread while the
 * machine is built, unless said otherwise.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "protocol/vm-config.h"
#include "virtio/memory.h"
#include "vmm/bus.h"
#include "vmm/guest-end.h"
#include "vmm/image.h"
#include "vmm/kvm/kvm.h"
#include "vmm/seccomp.h"
#include "vmm/snapshot.h"

struct arch_range {
	gpa_t base;
	uint64_t size;
};

/* How size bytes of RAM lie in guest physical memory, around the hole where
 * devices are.  Returns how many ranges. */
#define ARCH_RAM_RANGES_MAX 2
size_t arch_ram_ranges(uint64_t size, struct arch_range ret_ranges[ARCH_RAM_RANGES_MAX]);

/* Where memory begins that comes to such RAM later. */
gpa_t arch_room_base(uint64_t size);

/* Where the index-th virtio device is. */
#define ARCH_DEVICES_MAX 32
gpa_t arch_device_base(unsigned index);
/* Its interrupt (edge); late devices share those of earlier ones. */
uint32_t arch_device_gsi(unsigned index);

/* What the virtual machine needs before vCPUs; memory slots are set. */
int arch_init_vm(struct kvm *kvm, struct error **ret_error);

/* What the guest is started with. */
struct arch_boot {
	const struct image *kernel;
	const struct image *initramfs; /* n_initramfs of them, one behind the other */
	size_t n_initramfs;
	const char *cmdline;
	uint32_t vcpus, max_vcpus; /* from the start; as many as there will ever be */
	uint32_t n_slots;	   /* that a device may be in */
};
/* Loads kernel, initramfs, command line and the tables that describe the
 * machine; *ret_entry is where the first vCPU starts. */
int arch_load(const struct arch_boot *boot, const struct guest_memory *memory, gpa_t *ret_entry,
	      struct error **ret_error);

/* What a kernel that runs emulated is told beside its command line; caller frees. */
char *arch_emulated_cmdline(void);
/* A table for that kernel: QEMU's virtio transports n - 1 down to 0, to which devices may
 * come when it has booted.  At most ARCH_EMULATED_TRANSPORTS. */
#define ARCH_EMULATED_TRANSPORTS 24
void arch_emulated_slots(unsigned n, struct buffer *table);

/* Processor features for all vCPUs that there will ever be, asked of KVM once. */
struct arch_cpu;
int arch_cpu_new(const struct kvm *kvm, uint32_t vcpus, struct arch_cpu **ret_cpu,
		 struct error **ret_error);
void arch_cpu_free(struct arch_cpu *cpu);
DEFINE_CLEANUP(struct arch_cpu, arch_cpu_free)
/* The index-th vCPU's features: before all else. */
int arch_init_vcpu(const struct arch_cpu *cpu, int vcpu_fd, uint32_t index,
		   struct error **ret_error);
/* All features, into a state; and: do these machines have those that the state was saved with? */
void arch_save_cpu(const struct arch_cpu *cpu, struct buffer *state);
int arch_check_cpu(const struct arch_cpu *cpu, const struct snapshot *state,
		   struct error **ret_error);
/* As it is when a machine is switched on: vCPU 0 will run at entry, the others wait until the
 * guest starts them. */
int arch_reset_vcpu(int vcpu_fd, uint32_t index, gpa_t entry, struct error **ret_error);

/* One that comes while the machine runs: the loop's system calls for it, as it is when the machine
 * gets it, and how the guest is told, once the platform has it (platform_set_vcpus()). */
extern const struct seccomp_call arch_vcpu_calls[];
int arch_reset_new_vcpu(int vcpu_fd, struct error **ret_error);
int arch_tell_vcpus(const struct kvm *kvm, struct error **ret_error);

/*
 * State (snapshot.h).  No vCPU runs, and none has left the guest for something that it has yet
 * to be told the result of (vcpus_pause()).  Errors name what KVM refuses.
 */
/* What is to be saved of a vCPU here, asked of KVM once. */
struct arch_saver;
/* The loop's system calls for it. */
extern const struct seccomp_call arch_save_calls[];
int arch_saver_new(const struct kvm *kvm, struct arch_saver **ret_saver, struct error **ret_error);
void arch_saver_free(struct arch_saver *saver);
DEFINE_CLEANUP(struct arch_saver, arch_saver_free)
int arch_save_vm(const struct kvm *kvm, struct buffer *state, struct error **ret_error);
int arch_save_vcpu(const struct arch_saver *saver, int vcpu_fd, uint32_t index,
		   struct buffer *state, struct error **ret_error);
/* The machine is another from now on, and not the one it was: the guest finds an identity of its
 * own in its memory (arch_load() leaves one there, too), … */
int arch_renew(const struct guest_memory *memory, struct error **ret_error);
/* … and is told, when it runs. */
int arch_tell_renewed(const struct kvm *kvm, struct error **ret_error);
/* Into a machine that has its interrupt controllers and vCPUs, and has not run. */
int arch_load_vm(const struct kvm *kvm, const struct snapshot *state, struct error **ret_error);
/* After arch_init_vcpu(). */
int arch_load_vcpu(const struct kvm *kvm, int vcpu_fd, uint32_t index, const struct snapshot *state,
		   struct error **ret_error);

/* Time of a machine that is paused for longer than its guest could take as time that passed; as in
 * a state, it goes on where it stood. */
struct arch_time {
	uint64_t clock_ns;
	uint64_t counters[VM_VCPUS_MAX];
};
int arch_stop_time(const struct kvm *kvm, struct arch_time *ret_time, struct error **ret_error);
int arch_stop_counter(int vcpu_fd, uint64_t *ret_counter, struct error **ret_error);
int arch_go_on(const struct kvm *kvm, const struct arch_time *time, struct error **ret_error);
int arch_go_on_counter(int vcpu_fd, uint64_t counter, struct error **ret_error);
/* The loop's system calls for that, and for devices that come then. */
extern const struct seccomp_call arch_pool_calls[];

/* Where a vCPU is, for messages: at most size bytes, "rip 0x…" or "".  The
 * vCPU's own thread. */
void arch_vcpu_where(int vcpu_fd, char *ret_text, size_t size);

/* The platform's own registers: sleep and reset, panic notification, clock
 * answers, how many vCPUs there are (of which it is told), and a serial port where
 * serial_fd >= 0 (stays the caller's). */
struct platform;
int platform_new(struct bus *ports, int serial_fd, guest_end_fn ended, void *data,
		 struct platform **ret_platform, struct error **ret_error);
void platform_set_vcpus(struct platform *platform, uint32_t vcpus);
void platform_free(struct platform *platform);
DEFINE_CLEANUP(struct platform, platform_free)
