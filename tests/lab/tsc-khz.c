/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints the rate of this machine's time stamp counter, which QEMU's emulated
 * processor shows as its own, in kHz. The lab tells its kernel: what that would
 * find out for itself early is off by more than KVM tolerates (250 ppm) when
 * the host is busy, and KVM in there would then bend its guests' time.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct instant {
	uint64_t ticks, ns;
};

/* The clock read between two close readings of the counter, of many tries the best. */
static struct instant now(void)
{
	struct instant best = { 0 };
	uint64_t best_span = UINT64_MAX;

	for (int i = 0; i < 100; i++) {
		uint64_t before = __rdtsc(), after;
		struct timespec clock;

		clock_gettime(CLOCK_MONOTONIC_RAW, &clock);
		after = __rdtsc();
		if (after - before >= best_span)
			continue;
		best_span = after - before;
		best.ticks = before + best_span / 2;
		best.ns = (uint64_t)clock.tv_sec * 1000000000 + (uint64_t)clock.tv_nsec;
	}
	return best;
}

int main(void)
{
	const struct timespec pause = { .tv_nsec = 50000000 };
	struct instant start = now(), end;

	nanosleep(&pause, NULL);
	end = now();
	printf("%.0f\n", (double)(end.ticks - start.ticks) * 1e6 / (double)(end.ns - start.ns));
	return 0;
}
