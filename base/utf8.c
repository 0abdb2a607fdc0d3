/* SPDX-License-Identifier: Apache-2.0 */
/* Characters in UTF-8: see utf8.h. */
#include "base/utf8.h"

/* What the first byte says; 0: it begins none. */
static size_t said_size(unsigned char first)
{
	return first < 0x80	      ? 1
	       : (first >> 5) == 0x06 ? 2
	       : (first >> 4) == 0x0e ? 3
	       : (first >> 3) == 0x1e ? 4
				      : 0;
}

/* Longer than need be, a surrogate, beyond Unicode: the first two bytes show it. */
static bool is_forbidden(unsigned char first, unsigned char second)
{
	return first == 0xc0 || first == 0xc1 || (first == 0xe0 && second < 0xa0) ||
	       (first == 0xed && second >= 0xa0) || first > 0xf4 ||
	       (first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90);
}

/* The first `size` bytes may begin a character. */
static bool may_begin(const unsigned char *at, size_t size)
{
	for (size_t i = 1; i < size; i++)
		if ((at[i] & 0xc0) != 0x80)
			return false;
	return size < 2 || !is_forbidden(at[0], at[1]);
}

size_t utf8_size(const char *at, size_t left)
{
	const unsigned char *bytes = (const unsigned char *)at;
	const size_t size = said_size(bytes[0]);

	return size > 0 && size <= left && may_begin(bytes, size) ? size : 0;
}

bool utf8_is_cut(const char *at, size_t left)
{
	const unsigned char *bytes = (const unsigned char *)at;

	return said_size(bytes[0]) > left && may_begin(bytes, left);
}
