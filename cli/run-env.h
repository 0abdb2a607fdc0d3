/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of an image's container: NULL-terminated vectors of NAME=VALUE. */
#pragma once

#include "base/error.h"

/* Sets the entry's name, or adds it; an entry without "=" takes it away. */
void env_put(char ***env, const char *entry);
/* As --env has it: NAME=VALUE, or NAME alone for the value that our own environment has; it is
 * taken away if there is none. words ends with NULL, and may be NULL. */
int env_put_words(char ***env, const char *const *words, struct error **ret_error);
