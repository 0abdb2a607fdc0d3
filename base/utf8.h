/* SPDX-License-Identifier: Apache-2.0 */
/* Characters in UTF-8 (RFC 3629), of text that others wrote. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The bytes of the character at `at`, of which there are `left` (at least 1): 1 to 4; 0: it is not
 * a character. */
size_t utf8_size(const char *at, size_t left);
/* Of that 0: what there is may be the beginning of one that is cut off. */
bool utf8_is_cut(const char *at, size_t left);
