/* SPDX-License-Identifier: Apache-2.0 */
/* Text that does nothing to a terminal: see plain.h. */
#include "base/plain.h"

size_t plain_control_size(const char *at)
{
	const unsigned char first = (unsigned char)at[0];

	if (first == '\0')
		return 0;
	if (first < ' ' || first == 0x7f)
		return 1;
	return first == 0xc2 && ((unsigned char)at[1] & 0xe0) == 0x80 ? 2 : 0;
}

void plain_text(char *text)
{
	while (*text) {
		size_t n = plain_control_size(text);

		if (n == 0)
			text++;
		for (; n > 0; n--, text++)
			*text = *text == '\n' || *text == '\t' ? ' ' : '?';
	}
}
