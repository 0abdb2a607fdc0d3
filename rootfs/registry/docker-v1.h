/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images as `docker save` wrote them before 1.10, and beside the newer form until 24: a directory
 * for each layer, ID/json and ID/layer.tar, where json names its parent's ID; and a file
 * `repositories`, {"NAME": {"TAG": "ID"}}, for the topmost ones.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "rootfs/registry/layout.h"

/* The image whose topmost layer is `id`, which is checked: a configuration as image-spec has it,
 * made of the layers' (caller frees), and the names of their archives, lowest first
 * (strv_free()).  Reads all layers. */
int docker_v1_image(struct layout *layout, const char *id, char **ret_config, size_t *ret_size,
		    char ***ret_files, struct error **ret_error);
