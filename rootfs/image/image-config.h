/* SPDX-License-Identifier: Apache-2.0 */
/* What an image's configuration says of its container: image-spec config.md, "config". */
#pragma once

#include <stddef.h>

#include "base/error.h"

struct image_config {
	char **env, **entrypoint, **cmd; /* NULL: none */
	char *user, *working_dir, *stop_signal;
	char **volumes, **exposed_ports;
};

/* Members that are absent or null are NULL; env has "NAME=VALUE" only, volumes absolute paths. */
int image_config_parse(const char *text, size_t size, struct image_config **ret_config,
		       struct error **ret_error);
void image_config_free(struct image_config *config);
DEFINE_CLEANUP(struct image_config, image_config_free)
