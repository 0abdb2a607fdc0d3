/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `supermachine-vmm --probe` says of this machine's KVM: one line, "usable" or
 * "VERDICT: why", and the status 0 or 1.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define PROBE_USABLE "usable"
#define PROBE_MISSING "missing"	  /* there is no /dev/kvm */
#define PROBE_REFUSED "refused"	  /* there is one, and no permission to use it */
#define PROBE_BUSY "busy"	  /* another hypervisor has the processor: may pass */
#define PROBE_UNFIT "unfit"	  /* it lacks what the VMM needs */
#define PROBE_EMULATED "emulated" /* supervisor mode is emulated, and incompletely */
#define PROBE_SLOW "slow"	  /* supervisor mode is emulated, and completely */
#define PROBE_FAILED "failed"	  /* anything else, such as no memory: may pass */

static inline bool probe_is_verdict(const char *word)
{
	static const char *const words[] = { PROBE_USABLE, PROBE_MISSING, PROBE_REFUSED,
					     PROBE_BUSY,   PROBE_UNFIT,	  PROBE_EMULATED,
					     PROBE_SLOW,   PROBE_FAILED };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return false;
}
