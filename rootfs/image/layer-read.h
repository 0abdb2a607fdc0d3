/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files in the layers of an image (squashfs), as overlayfs would show them: neither mounted nor
 * unpacked.
 */
#pragma once

#include <stdbool.h>
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

/* Layers that are open, for many questions; one thread's. */
struct layer_stack;
int layer_stack_open(char *const *layers, size_t n_layers, struct layer_stack **ret_stack,
		     struct error **ret_error);
void layer_stack_close(struct layer_stack *stack);
static inline void layer_stack_closep(struct layer_stack **stack)
{
	layer_stack_close(*stack);
}
/* Whether the stack has a file of any type called "a/b/c"; no link is followed. */
int layer_stack_has(struct layer_stack *stack, const char *path, bool *ret_has,
		    struct error **ret_error);
