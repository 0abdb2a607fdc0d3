/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks in nanoseconds, and RFC 3339 times. */
#pragma once

#include <stdint.h>
#include <time.h>

#define NS_PER_SECOND 1000000000ULL

static inline uint64_t timespec_ns(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * NS_PER_SECOND + (uint64_t)t->tv_nsec;
}

uint64_t clock_monotonic_ns(void);
uint64_t clock_realtime_ns(void); /* since 1970-01-01 UTC */

#define CLOCK_RFC3339_SIZE 40
/* Writes e.g. "2026-01-02T03:04:05.678901234Z". */
void clock_rfc3339(uint64_t realtime_ns, char ret_text[CLOCK_RFC3339_SIZE]);
