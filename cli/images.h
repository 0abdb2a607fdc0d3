/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of images share. */
#pragma once

#include <stdint.h>

#include "cli/verb.h"
#include "rootfs/image/pull.h"

/* The store that --image-store names, else the user's. */
int image_verb_open(const struct command *command, struct image_store **ret_store,
		    struct error **ret_error);
/* The image's id, whole or of 12 digits; caller frees. */
char *images_id(const struct stored_image *image, bool is_whole);
/* "5.3MB"; caller frees. */
char *images_size(uint64_t bytes);
/* Removes what nothing refers to; what cannot be done now is left to the next one. */
void images_tidy(struct image_store *store);
