/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that end `attach`, in docker's words: "ctrl-p,ctrl-q". */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define DETACH_KEYS_MAX 16
struct detach_keys {
	char keys[DETACH_KEYS_MAX];
	size_t n;
	size_t seen; /* so many of them were typed last, and are kept back */
};

/* Characters, and ctrl- with a letter or one of @[\]^_, between commas; NULL or "": the usual ones.
 */
int detach_keys_read(const char *words, struct detach_keys *ret_keys, struct error **ret_error);
/* What was typed, of n bytes, without the keys: to `to`, which has room for DETACH_KEYS_MAX more;
 * its size.  *ret_detached: all of the keys were typed, and what is behind them is dropped. */
size_t detach_keys_pass(struct detach_keys *keys, const char *typed, size_t n, char *to,
			bool *ret_detached);
