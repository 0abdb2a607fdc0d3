/* SPDX-License-Identifier: Apache-2.0 */
/* Names in a container whose network is passt's: nobody else gives it an /etc/resolv.conf. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "runtime-spec/spec.h"

/* Unless its mounts have that place already: writes DIRECTORY/resolv.conf, with passt's name
 * servers and the host's search domains and options, and adds a bind mount of it to config.json's
 * text, which is replaced. */
int resolver_add(const char *directory, const struct spec *spec, char **config, size_t *config_size,
		 struct error **ret_error);
