/*
 * The KVM probe: see vmm/probe.h.
 *
 * A guest of a few bytes runs instructions that every distribution's kernel
 * uses in ring 0 where CPUID offers them, then a loop whose time is bounded.  A
 * KVM that emulates ring 0 fails at one of the former; should a later one learn
 * them, the loop still takes it some hundred times longer than a processor.
 */
#include "vmm/probe.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "vmm/arch.h"
#include "vmm/kvm.h"
#include "vmm/x86_64/boot.h"
#include "vmm/x86_64/cpuid.h"
#include "vmm/x86_64/layout.h"

#define MEMORY_SIZE (2 * MIB)
#define CODE_START 0x100000ULL
#define PORT_STEP 0xf4
#define STEP_SPEED 0xfe
#define STEP_DONE 0xff
#define DEADLINE_NS 500000000ULL
#define TICK_US 50000
/* Two instructions a round: a processor needs a millisecond, an emulator some
 * 300 (measured: 2.8 million instructions a second). */
#define SPEED_ROUNDS 400000
#define SPEED_MAX_NS 100000000ULL

enum cpuid_register { CPUID_ECX, CPUID_EDX, CPUID_EBX };

struct step {
	const char *name;
	uint32_t function; /* the CPUID bit that offers it */
	enum cpuid_register reg;
	unsigned bit;
	uint8_t size;
	uint8_t code[32];
};

static const struct step steps[] = {
	{ "cmpxchg16b", 1, CPUID_ECX, 13, 6, { 0x48, 0x0f, 0xc7, 0x4c, 0x24, 0xf0 } },
	{ "popcnt", 1, CPUID_ECX, 23, 5, { 0xf3, 0x48, 0x0f, 0xb8, 0xc1 } },
	{ "rdtscp", 0x80000001, CPUID_EDX, 27, 3, { 0x0f, 0x01, 0xf9 } },
	{ "clac", 7, CPUID_EBX, 20, 3, { 0x0f, 0x01, 0xca } },
	/* mov %cr4,%rax; or $0x40600,%eax (OSXSAVE, OSFXSR, OSXMMEXCPT); mov %rax,%cr4;
	 * xor %ecx,%ecx; xor %edx,%edx; push $3; pop %rax; xsetbv; xsave -0x1000(%rsp) */
	{ "xsave", 1, CPUID_ECX, 26, 29, { 0x0f, 0x20, 0xe0, 0x0d, 0x00, 0x06, 0x04, 0x00,
					   0x0f, 0x22, 0xe0, 0x31, 0xc9, 0x31, 0xd2, 0x6a,
					   0x03, 0x58, 0x0f, 0x01, 0xd1, 0x0f, 0xae, 0xa4,
					   0x24, 0x00, 0xf0, 0xff, 0xff } },
};

struct probe {
	struct kvm kvm;
	struct guest_memory memory;
	void *mapping;
	int vcpu_fd;
	struct kvm_run *run;
	struct cpuid cpuid;
};

static void probe_free(struct probe *probe)
{
	if (probe->run)
		(void)munmap(probe->run, probe->kvm.run_size);
	close_fdp(&probe->vcpu_fd);
	kvm_close(&probe->kvm);
	if (probe->mapping)
		(void)munmap(probe->mapping, MEMORY_SIZE);
	free(probe);
}
DEFINE_CLEANUP(struct probe, probe_free)

static bool offered(const struct cpuid *cpuid, const struct step *step)
{
	for (uint32_t i = 0; i < cpuid->head.nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
		const uint32_t registers[] = {
			[CPUID_ECX] = entry->ecx, [CPUID_EDX] = entry->edx, [CPUID_EBX] = entry->ebx
		};

		if (entry->function == step->function && entry->index == 0)
			return registers[step->reg] >> step->bit & 1;
	}
	return false;
}

static uint8_t *put_step(uint8_t *at, uint8_t number, const void *code, size_t size)
{
	const uint8_t report[] = { 0xb0, number, 0xe6, PORT_STEP }; /* mov $number,%al; out */

	(void)memcpy(at, report, sizeof(report));
	(void)memcpy(at + sizeof(report), code, size);
	return at + sizeof(report) + size;
}

static void write_guest(const struct probe *probe, uint8_t *at)
{
	static const uint8_t stack[] = { 0xbc, 0x00, 0x00, 0x08, 0x00 }; /* mov $0x80000,%esp */
	uint8_t loop[] = { 0xb9, 0, 0, 0, 0, 0xff, 0xc9, 0x75, 0xfc };	 /* dec %ecx; jnz */
	static const uint8_t halt[] = { 0xf4 };
	const uint32_t rounds = SPEED_ROUNDS;

	(void)memcpy(loop + 1, &rounds, sizeof(rounds));
	(void)memcpy(at, stack, sizeof(stack));
	at += sizeof(stack);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (offered(&probe->cpuid, &steps[i]))
			at = put_step(at, (uint8_t)i, steps[i].code, steps[i].size);
	at = put_step(at, STEP_SPEED, loop, sizeof(loop));
	(void)put_step(at, STEP_DONE, halt, sizeof(halt));
}

static int make_vcpu(struct probe *probe, struct error **ret_error)
{
	_cleanup_(arch_cpu_freep) struct arch_cpu *cpu = NULL;
	void *run;

	probe->vcpu_fd = ioctl(probe->kvm.vm_fd, KVM_CREATE_VCPU, 0);
	if (probe->vcpu_fd < 0)
		return error_set_errno(ret_error, errno, "KVM cannot make a vCPU");
	run =
	    mmap(NULL, probe->kvm.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, probe->vcpu_fd, 0);
	if (run == MAP_FAILED)
		return error_set_errno(ret_error, errno, "cannot map a vCPU");
	probe->run = run;
	if (arch_cpu_new(&probe->kvm, 1, &cpu, ret_error) < 0)
		return -1;
	return arch_init_vcpu(cpu, probe->vcpu_fd, 0, CODE_START, ret_error);
}

static int make_guest(struct probe *probe, struct error **ret_error)
{
	struct mem_region region = { .size = MEMORY_SIZE, .fd = -1 };
	void *mapping;

	if (kvm_open(1, &probe->kvm, ret_error) < 0)
		return -1;
	mapping =
	    mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mapping == MAP_FAILED)
		return error_set_errno(ret_error, errno, "cannot map memory");
	probe->mapping = region.hva = mapping;
	if (mem_add_region(&probe->memory, &region, ret_error) < 0 ||
	    boot_load_tables(&probe->memory, ret_error) < 0 ||
	    cpuid_get(&probe->kvm, 1, &probe->cpuid, ret_error) < 0)
		return -1;
	write_guest(probe, (uint8_t *)mapping + CODE_START);
	if (kvm_add_memory(&probe->kvm, &probe->memory, ret_error) < 0 ||
	    arch_init_vm(&probe->kvm, ret_error) < 0 ||
	    kvm_create_irqchip(&probe->kvm, ret_error) < 0)
		return -1;
	return make_vcpu(probe, ret_error);
}

static const char *step_name(unsigned step)
{
	if (step < ARRAY_SIZE(steps))
		return steps[step].name;
	return step == STEP_SPEED ? "a loop" : "its first instruction";
}

static uint64_t cpu_time_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The number of the next step the guest reports. */
static int next_step(struct probe *probe, uint64_t deadline, unsigned *step,
		     struct error **ret_error)
{
	const char *name = step_name(*step);

	while (ioctl(probe->vcpu_fd, KVM_RUN, 0) < 0) {
		if (errno != EINTR && errno != EAGAIN)
			return error_set_errno(ret_error, errno, "KVM cannot run a guest");
		if (clock_monotonic_ns() > deadline)
			return error_set(ret_error, ETIME,
					 "this KVM is too slow: %s did not end in time, so it "
					 "emulates supervisor code",
					 name);
	}
	if (probe->run->exit_reason == KVM_EXIT_IO && probe->run->io.port == PORT_STEP) {
		*step = *((uint8_t *)probe->run + probe->run->io.data_offset);
		return 0;
	}
	if (probe->run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		return error_set(
		    ret_error, EIO, "the processor refuses to enter a guest, reason 0x%llx",
		    (unsigned long long)probe->run->fail_entry.hardware_entry_failure_reason);
	return error_set(ret_error, ENOTSUP,
			 "this KVM cannot run %s in supervisor mode: it emulates supervisor code",
			 name);
}

static int run_guest(struct probe *probe, struct error **ret_error)
{
	const uint64_t deadline = clock_monotonic_ns() + DEADLINE_NS;
	uint64_t start;
	unsigned step = STEP_DONE;

	do
		if (next_step(probe, deadline, &step, ret_error) < 0)
			return -1;
	while (step != STEP_SPEED);
	start = cpu_time_ns();
	if (next_step(probe, deadline, &step, ret_error) < 0)
		return -1;
	if (cpu_time_ns() - start > SPEED_MAX_NS)
		return error_set(ret_error, ETIME,
				 "this KVM is too slow: %d instructions took %llu ms, so it "
				 "emulates supervisor code",
				 2 * SPEED_ROUNDS,
				 (unsigned long long)(cpu_time_ns() - start) / 1000000);
	return 0;
}

static void on_tick(int signal)
{
	(void)signal; /* its only work is to interrupt KVM_RUN */
}

int probe_kvm(struct error **ret_error)
{
	const struct sigaction action = { .sa_handler = on_tick };
	const struct itimerval tick = { { 0, TICK_US }, { 0, TICK_US } }, off = { 0 };
	_cleanup_(probe_freep) struct probe *probe = xcalloc(1, sizeof(*probe));
	int result;

	probe->kvm = (struct kvm){ .system_fd = -1, .vm_fd = -1 };
	probe->vcpu_fd = -1;
	if (make_guest(probe, ret_error) < 0)
		return -1;
	if (sigaction(SIGALRM, &action, NULL) < 0 || setitimer(ITIMER_REAL, &tick, NULL) < 0)
		return error_set_errno(ret_error, errno, "cannot set a timer");
	result = run_guest(probe, ret_error);
	(void)setitimer(ITIMER_REAL, &off, NULL);
	return result;
}
