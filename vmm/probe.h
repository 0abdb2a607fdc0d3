/*
 * Whether this machine's KVM runs an ordinary kernel.
 *
 * `supermachine-vmm --probe` prints one line, "usable" or "VERDICT: why", and ends
 * with status 0 or 1.  The verdicts are a contract with the runtime, which
 * includes this header for them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/error.h"

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

/* What to try: the instructions, and the speed of supervisor mode. */
enum probe_part { PROBE_INSTRUCTIONS = 1, PROBE_SPEED = 2, PROBE_ALL = 3 };

/* Runs a tiny guest, for some milliseconds (a second at most).  The verdict; where
 * it is not PROBE_USABLE, *ret_error says why. */
const char *probe_kvm(enum probe_part parts, struct error **ret_error);
