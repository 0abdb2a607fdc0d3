/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks: see clock.h. */
#include "base/clock.h"

#include <stdio.h>

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return timespec_ns(&t);
}

uint64_t clock_monotonic_ns(void)
{
	return now(CLOCK_MONOTONIC);
}

uint64_t clock_realtime_ns(void)
{
	return now(CLOCK_REALTIME);
}

void clock_rfc3339(uint64_t realtime_ns, char ret_text[CLOCK_RFC3339_SIZE])
{
	time_t seconds = (time_t)(realtime_ns / 1000000000);
	struct tm tm;
	size_t n;

	(void)gmtime_r(&seconds, &tm);
	n = strftime(ret_text, CLOCK_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(ret_text + n, CLOCK_RFC3339_SIZE - n, ".%09uZ",
		       (unsigned)(realtime_ns % 1000000000));
}
