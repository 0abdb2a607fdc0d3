/* SPDX-License-Identifier: Apache-2.0 */
/* What makes this machine itself and no other: its clock and its randomness. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* 0: leaves it. */
int identity_set_clock(uint64_t realtime_ns, struct error **ret_error);
/* Mixes entropy, which counts as such, into the kernel's pool, from which the generator is seeded
 * anew at once.  Where that fails, a clone's random numbers may be those of another. */
int identity_add_entropy(const uint8_t *entropy, size_t size, struct error **ret_error);
