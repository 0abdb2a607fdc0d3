/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as hexadecimal digits, in lower case. */
#pragma once

#include <stddef.h>

/* Two digits a byte; caller frees. */
char *hex_encode(const void *bytes, size_t size);
/* The value of a digit of either case; -1: it is not one. */
int hex_digit(char c);
