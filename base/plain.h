/* SPDX-License-Identifier: Apache-2.0 */
/* Text of others, a guest's for example, that is shown on a terminal. */
#pragma once

#include <stddef.h>

/* How many of the bytes at `at` are a character that a terminal obeys: 1, of ASCII; 2, one of
 * U+0080 to U+009F in UTF-8; 0, none (or the text's end). */
size_t plain_control_size(const char *at);
/* In place: '?' for each byte of such a character, a space for line ends and tabs. */
void plain_text(char *text);
