/* SPDX-License-Identifier: Apache-2.0 */
/* What an image's configuration says of its container: image-spec config.md, "config". */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define IMAGE_HEALTH_MS_MAX (100ULL * 365 * 24 * 3600 * 1000)

/* Docker's `config.Healthcheck`; what is 0 is not said. */
struct image_health {
	char **test; /* "CMD" ARG…, "CMD-SHELL" COMMAND, "NONE"; NULL: none */
	uint64_t interval_ms, timeout_ms, start_period_ms, start_interval_ms, retries;
};

struct image_config {
	char **env, **entrypoint, **cmd; /* NULL: none */
	char *user, *working_dir, *stop_signal;
	char **volumes, **exposed_ports;
	char **shell; /* that CMD-SHELL means; NULL: the usual one */
	struct image_health health;
};

/* Members that are absent or null are NULL; env has "NAME=VALUE" only, volumes absolute paths. */
int image_config_parse(const char *text, size_t size, struct image_config **ret_config,
		       struct error **ret_error);
void image_config_free(struct image_config *config);
DEFINE_CLEANUP(struct image_config, image_config_free)
