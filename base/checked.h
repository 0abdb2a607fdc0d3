/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checked arithmetic: true when the result does not fit (then *ret is
 * unspecified), so that a guard reads `if (checked_add(a, b, &sum)) refuse`.
 */
#pragma once

#include <stdint.h>

#define checked_add(a, b, ret) __builtin_add_overflow((a), (b), (ret))
#define checked_sub(a, b, ret) __builtin_sub_overflow((a), (b), (ret))
#define checked_mul(a, b, ret) __builtin_mul_overflow((a), (b), (ret))

#define MIN(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) min_a_ = (a);                                                        \
		__typeof__(b) min_b_ = (b);                                                        \
		min_a_ < min_b_ ? min_a_ : min_b_;                                                 \
	})
#define MAX(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) max_a_ = (a);                                                        \
		__typeof__(b) max_b_ = (b);                                                        \
		max_a_ > max_b_ ? max_a_ : max_b_;                                                 \
	})

/* The next multiple of `to`, a power of two; value is at most 2^64 - to. */
static inline uint64_t align_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) & -to;
}
