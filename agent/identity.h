/* SPDX-License-Identifier: Apache-2.0 */
/* What makes this machine itself and no other: its clock and its randomness. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Sets the clock (0: leaves it) and mixes entropy, which counts as such, into
 * the kernel's pool, from which the generator is seeded anew at once. */
int identity_renew(uint64_t realtime_ns, const uint8_t *entropy, size_t size,
		   struct error **ret_error);
