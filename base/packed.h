/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what another process packed, of which nothing is believed: each step takes what is there,
 * or nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct packed {
	const uint8_t *at;
	size_t left;
};

/* The next size bytes, in place; NULL: there are fewer. */
static inline const void *packed_view(struct packed *from, size_t size)
{
	const uint8_t *at = from->at;

	if (size > from->left)
		return NULL;
	from->at += size;
	from->left -= size;
	return at;
}

/* Copies them; false, and nothing is taken: there are fewer. */
static inline bool packed_take(struct packed *from, void *ret_bytes, size_t size)
{
	const void *at = packed_view(from, size);

	if (at)
		(void)memcpy(ret_bytes, at, size);
	return at;
}
