/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command-line flags by the rules of Go's flag package, which is what containerd
 * calls a shim with: "-name value", "-name=value", one dash or two, a boolean
 * without a value; the first word that is not a flag, or "--", ends them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct flag {
	const char *name;
	const char **text; /* either this, to be set to a part of argv, */
	bool *on;	   /* or this */
};

/* Parses argv (without the program's name, ends with NULL); the outputs of flags
 * that are not given stay untouched.  Returns how many words were flags; an
 * unknown flag, or one without its value, is EINVAL in Go's words. */
int flags_parse(char *const *argv, const struct flag *flags, size_t n_flags,
		struct error **ret_error);
