/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TOML 1.0, as far as the configuration of registries needs it: tables, arrays of tables, dotted
 * and quoted keys, all four forms of strings, booleans, arrays and inline tables.  Debian has no
 * library for C that does it.
 *
 * The document becomes JSON text, which base/json.h reads.  Numbers and times are not understood:
 * they become strings, as they stand.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

#define TOML_DEPTH_MAX 32

/* text: size bytes, with a NUL behind them.  name: the file's, for errors, which tell the line. The
 * caller frees *ret_json.  EINVAL: it is not TOML, a key is there twice, or it is nested too
 * deeply.
 */
int toml_to_json(const char *text, size_t size, const char *name, char **ret_json,
		 struct error **ret_error);
