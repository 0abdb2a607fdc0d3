/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One small file out of the layers of an image (squashfs), as overlayfs would show it: neither
 * mounted nor unpacked.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

/*
 * The file DIRECTORY/NAME of the stack, NUL-terminated (caller frees); both are plain names.
 * Layers are paths, lowest first.  ENOENT: no layer has it, or a higher one hides it.  ELOOP:
 * it, or its directory, is a symbolic link, which is not followed.  EFBIG: more than size_max
 * bytes.  Any thread.
 */
int layers_read_file(char *const *layers, size_t n_layers, const char *directory, const char *name,
		     size_t size_max, char **ret_text, struct error **ret_error);
