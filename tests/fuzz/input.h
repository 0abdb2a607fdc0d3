/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What every fuzz target takes its decisions from: the bytes of its input, one after the
 * other; nothing but zeros when they are used up. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct input {
	const uint8_t *at;
	size_t left;
};

static inline uint8_t take(struct input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->at++;
}

/* Kept in every build, unlike assert(): abort() is what a fuzzer sees. */
static inline void check(bool condition)
{
	if (!condition)
		abort();
}
