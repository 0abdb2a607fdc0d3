/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this machine's KVM runs an ordinary kernel. */
#pragma once

#include "base/error.h"
#include "protocol/probe.h"

/* What to try: the instructions, and the speed of supervisor mode. */
enum probe_part { PROBE_INSTRUCTIONS = 1, PROBE_SPEED = 2, PROBE_ALL = 3 };

/* Runs a tiny guest, for some milliseconds (a second at most).  The verdict; where
 * it is not PROBE_USABLE, *ret_error says why. */
const char *probe_kvm(enum probe_part parts, struct error **ret_error);
