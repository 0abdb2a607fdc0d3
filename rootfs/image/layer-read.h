/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One small file out of the layers of an image (squashfs), as overlayfs would show it: neither
 * mounted nor unpacked.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

/*
 * The file at `path`, below the image's root, NUL-terminated (caller frees).  Symbolic links are
 * followed within the image, as a process with that root would.  Layers are paths, lowest first.
 * ENOENT: no layer has it, a higher one hides it, or it is not a regular file.  ELOOP: too many
 * links.  EFBIG: more than size_max bytes.  Any thread.
 */
int layers_read_file(char *const *layers, size_t n_layers, const char *path, size_t size_max,
		     char **ret_text, struct error **ret_error);
