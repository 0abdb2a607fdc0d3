/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM probe: see vmm/probe.h.
 *
 * A guest of a few bytes runs, in supervisor mode, instructions that every
 * distribution's kernel uses there where CPUID offers them; then a loop, timed
 * against the same loop in this process.  A KVM that emulates supervisor mode
 * fails at one of the former; should one learn them all, the loop tells.
 *
 * On a processor, and in a machine that is emulated as a whole, the two loops take
 * the same time, give or take an exit.  An instruction emulator takes thousands of
 * times longer (measured on a PVM host: 4900 times, 2.8 million instructions a
 * second).  The bound between them, a factor of 50, is far from either.  It is a ratio of processor
 * times, each the best of several attempts, so that neither the machine's speed nor its load
 * enters.
 */
#include "vmm/probe.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/clock.h"
#include "vmm/arch.h"
#include "vmm/kvm/kvm.h"
#include "vmm/x86_64/boot.h"
#include "vmm/x86_64/cpuid.h"
#include "vmm/x86_64/layout.h"

#define MEMORY_SIZE (2 * MIB)
#define CODE_START 0x100000ULL
#define PORT_STEP 0xf4
#define STEP_LOOP 0xfd	/* the loop begins */
#define STEP_TIMED 0xfe /* it has ended */
#define STEP_NONE 0xff
/* Two instructions a round: a processor needs some 15 us, several times what an exit
 * takes; an emulator some 60 ms, which it can have on a busy machine, too. */
#define SPEED_ROUNDS 50000U
#define SPEED_ATTEMPTS 3
#define SPEED_RATIO_MAX 50
/* Only a guest that never comes back reaches these: of this thread's processor
 * time, and of the clock on the wall. */
#define CPU_LIMIT_NS 2000000000ULL
#define WALL_LIMIT_NS 8000000000ULL
#define TICK_US 50000

enum cpuid_register { CPUID_ECX, CPUID_EDX, CPUID_EBX };

struct step {
	const char *name;
	uint32_t function; /* the CPUID bit that offers it */
	enum cpuid_register reg;
	unsigned bit;
	uint8_t size;
	uint8_t code[32];
};

/* clang-format off */
static const struct step steps[] = {
	{ "cmpxchg16b", 1, CPUID_ECX, 13, 6, { 0x48, 0x0f, 0xc7, 0x4c, 0x24, 0xf0 } },
	{ "popcnt", 1, CPUID_ECX, 23, 5, { 0xf3, 0x48, 0x0f, 0xb8, 0xc1 } },
	{ "crc32", 1, CPUID_ECX, 20, 6, { 0xf2, 0x48, 0x0f, 0x38, 0xf1, 0xc8 } },
	{ "rdtscp", 0x80000001, CPUID_EDX, 27, 3, { 0x0f, 0x01, 0xf9 } },
	{ "stac", 7, CPUID_EBX, 20, 3, { 0x0f, 0x01, 0xcb } },
	{ "clac", 7, CPUID_EBX, 20, 3, { 0x0f, 0x01, 0xca } },
	/* mov %ss,%eax; verw %ax (every processor: the bit is the FPU's) */
	{ "verw", 1, CPUID_EDX, 0, 5, { 0x8c, 0xd0, 0x0f, 0x00, 0xe8 } },
	/* mov %cr4,%rax; or $0x600,%eax (OSFXSR, OSXMMEXCPT); mov %rax,%cr4;
	 * paddd %xmm1,%xmm0; fxsave64 -0x1000(%rsp) */
	{ "SSE2", 1, CPUID_EDX, 26, 24, { 0x0f, 0x20, 0xe0, 0x0d, 0x00, 0x06, 0x00, 0x00,
					  0x0f, 0x22, 0xe0, 0x66, 0x0f, 0xfe, 0xc1, 0x48,
					  0x0f, 0xae, 0x84, 0x24, 0x00, 0xf0, 0xff, 0xff } },
	/* mov %cr4,%rax; or $0x40600,%eax (and OSXSAVE); mov %rax,%cr4; xor %ecx,%ecx;
	 * xor %edx,%edx; push $3; pop %rax; xsetbv; xsave -0x1000(%rsp) */
	{ "xsave", 1, CPUID_ECX, 26, 29, { 0x0f, 0x20, 0xe0, 0x0d, 0x00, 0x06, 0x04, 0x00,
					   0x0f, 0x22, 0xe0, 0x31, 0xc9, 0x31, 0xd2, 0x6a,
					   0x03, 0x58, 0x0f, 0x01, 0xd1, 0x0f, 0xae, 0xa4,
					   0x24, 0x00, 0xf0, 0xff, 0xff } },
	/* mov %cr4,%rax; bts $16,%rax (FSGSBASE); mov %rax,%cr4; rdgsbase %rax;
	 * wrgsbase %rax */
	{ "wrgsbase", 7, CPUID_EBX, 0, 21, { 0x0f, 0x20, 0xe0, 0x48, 0x0f, 0xba, 0xe8, 0x10,
					     0x0f, 0x22, 0xe0, 0xf3, 0x48, 0x0f, 0xae, 0xc8,
					     0xf3, 0x48, 0x0f, 0xae, 0xd8 } },
};
/* clang-format on */

struct probe {
	struct kvm kvm;
	struct guest_memory memory;
	void *mapping;
	int vcpu_fd;
	struct kvm_run *run;
	enum probe_part parts;
	uint64_t cpu_end, wall_end;
	unsigned step;	     /* the last one that the guest reported */
	const char *verdict; /* of what failed; NULL: by the error's code */
	union cpuid cpuid;
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

static bool offered(const union cpuid *cpuid, const struct step *step)
{
	for (uint32_t i = 0; i < cpuid->list.nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->list.entries[i];
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
	if (size > 0)
		(void)memcpy(at + sizeof(report), code, size);
	return at + sizeof(report) + size;
}

static void write_guest(const struct probe *probe, uint8_t *at)
{
	static const uint8_t stack[] = { 0xbc, 0x00, 0x00, 0x08, 0x00 }; /* mov $0x80000,%esp */
	uint8_t loop[] = { 0xb9, 0, 0, 0, 0, 0xff, 0xc9, 0x75, 0xfc };	 /* 1: dec %ecx; jnz 1b */
	const uint32_t rounds = SPEED_ROUNDS;
	uint8_t again[] = { 0xeb, 0 }; /* jmp to the loop's report */
	const uint8_t *timed;

	(void)memcpy(loop + 1, &rounds, sizeof(rounds));
	(void)memcpy(at, stack, sizeof(stack));
	at += sizeof(stack);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if ((probe->parts & PROBE_INSTRUCTIONS) && offered(&probe->cpuid, &steps[i]))
			at = put_step(at, (uint8_t)i, steps[i].code, steps[i].size);
	timed = at;
	at = put_step(at, STEP_LOOP, loop, sizeof(loop));
	at = put_step(at, STEP_TIMED, NULL, 0);
	again[1] = (uint8_t)(timed - (at + sizeof(again)));
	(void)memcpy(at, again, sizeof(again));
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
	if (arch_cpu_new(&probe->kvm, 1, &cpu, ret_error) < 0 ||
	    arch_init_vcpu(cpu, probe->vcpu_fd, 0, ret_error) < 0)
		return -1;
	return arch_reset_vcpu(probe->vcpu_fd, 0, CODE_START, ret_error);
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

static uint64_t cpu_time_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int fail(struct probe *probe, const char *verdict, struct error **ret_error,
		const char *format, ...) __attribute__((format(printf, 4, 5)));
static int fail(struct probe *probe, const char *verdict, struct error **ret_error,
		const char *format, ...)
{
	_cleanup_free_ char *message = NULL;
	va_list args;

	va_start(args, format);
	message = xvasprintf(format, args);
	va_end(args);
	probe->verdict = verdict;
	return error_set(ret_error, ENOTSUP, "%s", message);
}

static const char *step_name(unsigned step)
{
	if (step < ARRAY_SIZE(steps))
		return steps[step].name;
	return step == STEP_NONE ? "its first instruction" : "a loop";
}

/* Lets the guest go on to its next report. */
static int next_step(struct probe *probe, struct error **ret_error)
{
	const char *name = step_name(probe->step);

	while (ioctl(probe->vcpu_fd, KVM_RUN, 0) < 0) {
		if (errno != EINTR && errno != EAGAIN)
			return error_set_errno(ret_error, errno, "KVM cannot run a guest");
		if (cpu_time_ns() > probe->cpu_end)
			return fail(probe, PROBE_SLOW, ret_error,
				    "this KVM is too slow: %s did not end in time", name);
		if (clock_monotonic_ns() > probe->wall_end)
			return fail(probe, PROBE_FAILED, ret_error,
				    "this machine is too busy: %s did not end in time", name);
	}
	if (probe->run->exit_reason == KVM_EXIT_IO && probe->run->io.port == PORT_STEP) {
		probe->step = *((uint8_t *)probe->run + probe->run->io.data_offset);
		return 0;
	}
	if (probe->run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		return fail(
		    probe, PROBE_UNFIT, ret_error,
		    "the processor refuses to enter a guest, reason 0x%llx",
		    (unsigned long long)probe->run->fail_entry.hardware_entry_failure_reason);
	return fail(probe, PROBE_EMULATED, ret_error,
		    "this KVM cannot run %s in supervisor mode: it emulates supervisor code", name);
}

/* The first one comes behind all instructions. */
static int go_to_loop(struct probe *probe, struct error **ret_error)
{
	while (probe->step != STEP_LOOP)
		if (next_step(probe, ret_error) < 0)
			return -1;
	return 0;
}

/* The guest's loop, here. */
static uint64_t time_loop(void)
{
	const uint64_t start = cpu_time_ns();
	uint32_t rounds = SPEED_ROUNDS;

	__asm__ volatile("1: decl %0\n\tjnz 1b" : "+r"(rounds) : : "cc");
	return cpu_time_ns() - start;
}

static int time_guest(struct probe *probe, uint64_t *ret_ns, struct error **ret_error)
{
	uint64_t start;

	if (go_to_loop(probe, ret_error) < 0)
		return -1;
	start = cpu_time_ns();
	if (next_step(probe, ret_error) < 0)
		return -1;
	*ret_ns = cpu_time_ns() - start;
	return 0;
}

static int check_speed(struct probe *probe, struct error **ret_error)
{
	uint64_t ours = UINT64_MAX, guest = UINT64_MAX;

	for (int i = 0; i < SPEED_ATTEMPTS; i++) {
		uint64_t ns = 0;

		if (time_guest(probe, &ns, ret_error) < 0)
			return -1;
		guest = MIN(guest, ns);
		ours = MIN(ours, MAX(time_loop(), UINT64_C(1)));
		if (guest / SPEED_RATIO_MAX <= ours)
			return 0;
	}
	return fail(probe, PROBE_SLOW, ret_error,
		    "this KVM is too slow: supervisor code takes %llu times as long as it should, "
		    "so it is emulated",
		    (unsigned long long)(guest / ours));
}

static void on_tick(int signal)
{
	(void)signal; /* its only work is to interrupt KVM_RUN */
}

static int run_probe(struct probe *probe, struct error **ret_error)
{
	const struct sigaction action = { .sa_handler = on_tick };
	const struct itimerval tick = { { 0, TICK_US }, { 0, TICK_US } }, off = { 0 };
	int result;

	if (make_guest(probe, ret_error) < 0)
		return -1;
	if (sigaction(SIGALRM, &action, NULL) < 0 || setitimer(ITIMER_REAL, &tick, NULL) < 0)
		return error_set_errno(ret_error, errno, "cannot set a timer");
	probe->cpu_end = cpu_time_ns() + CPU_LIMIT_NS;
	probe->wall_end = clock_monotonic_ns() + WALL_LIMIT_NS;
	result = probe->parts & PROBE_SPEED ? check_speed(probe, ret_error)
					    : go_to_loop(probe, ret_error);
	(void)setitimer(ITIMER_REAL, &off, NULL);
	return result;
}

/* What kvm.c and arch.h complain of. */
static const char *verdict_of(int code)
{
	switch (code) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
		return PROBE_MISSING;
	case EACCES:
	case EPERM:
		return PROBE_REFUSED;
	case EBUSY:
		return PROBE_BUSY;
	case ENOTSUP:
	case ENOTTY: /* /dev/kvm is something else */
	case EINVAL:
		return PROBE_UNFIT;
	default:
		return PROBE_FAILED;
	}
}

const char *probe_kvm(enum probe_part parts, struct error **ret_error)
{
	_cleanup_(probe_freep) struct probe *probe = xcalloc(1, sizeof(*probe));
	struct error *error = NULL;

	probe->kvm = (struct kvm){ .system_fd = -1, .vm_fd = -1 };
	probe->vcpu_fd = -1;
	probe->step = STEP_NONE;
	probe->parts = parts;
	if (run_probe(probe, &error) == 0)
		return PROBE_USABLE;
	if (!probe->verdict)
		probe->verdict = verdict_of(error->code);
	*ret_error = error;
	return probe->verdict;
}
