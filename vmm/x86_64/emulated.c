/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kernel must be told when QEMU emulates the processor: see arch.h.
 *
 * Nothing but the time stamp counter keeps time there, and it counts at the rate
 * of this host's.  A kernel that is left to measure it with the i8254 fails when
 * the host is busy for a moment, and then hangs without a clock; so it is
 * measured here, and the timer's interrupts are not put to a test of speed.
 */
#include <stdint.h>
#include <time.h>
#include <x86intrin.h>

#include "base/alloc.h"
#include "vmm/arch.h"
#include "vmm/x86_64/acpi.h"

#define MEASURE_NS 2000000 /* of which the readings are off by some 50 */
#define READINGS 100

/* QEMU's local APICs count nanoseconds, and Linux has them divide by 16. */
#define LAPIC_KHZ 1000000
#define LINUX_LAPIC_DIVIDER 16

/* A kernel that is told the rate of its delay loops does not measure each processor's, by
 * its timer and for 100 ms each.  It is told per tick, so for the slowest tick there is: a
 * kernel with another one has longer delays than it asks for. */
#define LINUX_HZ_MIN 100

/* Where QEMU's microvm has its virtio transports (include/hw/i386/microvm.h there); their
 * interrupts are those of its second IOAPIC, which comes with ACPI. */
#define TRANSPORT_BASE 0xfeb00000
#define TRANSPORT_SIZE 512
#define TRANSPORT_GSI 24

struct instant {
	uint64_t ticks;
	uint64_t ns;
};

static uint64_t raw_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Both clocks at one instant: of many readings the one that took least. */
static struct instant read_clocks(void)
{
	struct instant best = { 0 };
	uint64_t shortest = UINT64_MAX;

	for (int i = 0; i < READINGS; i++) {
		uint64_t before = __rdtsc();
		uint64_t ns = raw_ns();
		uint64_t took = __rdtsc() - before;

		if (took >= shortest)
			continue;
		shortest = took;
		best = (struct instant){ .ticks = before + took / 2, .ns = ns };
	}
	return best;
}

static uint64_t tsc_khz(void)
{
	const struct timespec pause = { .tv_nsec = MEASURE_NS };
	struct instant start = read_clocks(), end;

	(void)nanosleep(&pause, NULL);
	end = read_clocks();
	return (uint64_t)((double)(end.ticks - start.ticks) * 1e6 / (double)(end.ns - start.ns));
}

char *arch_emulated_cmdline(void)
{
	unsigned long long khz = tsc_khz();

	return xasprintf("tsc=reliable no_timer_check tsc_early_khz=%llu lpj=%llu "
			 "supermachine.timer_khz=%d",
			 khz, khz * (1000 / LINUX_HZ_MIN), LAPIC_KHZ / LINUX_LAPIC_DIVIDER);
}

void arch_emulated_slots(unsigned n, struct buffer *table)
{
	struct acpi_slot slots[ARCH_EMULATED_TRANSPORTS];

	for (unsigned i = 0; i < n; i++) {
		const uint32_t transport = n - 1 - i;

		slots[i] = (struct acpi_slot){
			.index = transport,
			.base = TRANSPORT_BASE + transport * TRANSPORT_SIZE,
			.size = TRANSPORT_SIZE,
			.gsi = TRANSPORT_GSI + transport,
		};
	}
	acpi_build_slots(slots, n, table);
}
