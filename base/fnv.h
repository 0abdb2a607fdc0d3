/* SPDX-License-Identifier: Apache-2.0 */
/* FNV-1a, 64 bits: tells texts apart that nobody has made to look alike. */
#pragma once

#include <stddef.h>
#include <stdint.h>

static inline uint64_t fnv1a(const void *bytes, size_t size)
{
	const uint8_t *from = bytes;
	uint64_t value = 0xcbf29ce484222325;

	for (size_t i = 0; i < size; i++)
		value = (value ^ from[i]) * 0x100000001b3;
	return value;
}
