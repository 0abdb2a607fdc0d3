/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seccomp profile of an image's container: what docker's usual one is documented to refuse,
 * less what a capability of the container's allows; or a file in the form of docker's profiles.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

/* `linux.seccomp` of config.json, as text; caller frees.  capabilities: the container's, as bits.
 */
char *run_seccomp_usual(uint64_t capabilities);
/* The same of a file: a profile of docker's ("archMap", "includes" and "excludes" by capabilities
 * and architectures), or what config.json would have. */
int run_seccomp_read(const char *path, uint64_t capabilities, char **ret_json,
		     struct error **ret_error);
