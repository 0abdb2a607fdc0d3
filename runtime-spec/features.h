/* SPDX-License-Identifier: Apache-2.0 */
/* What this runtime can do, as the runtime-spec's features object (features.md). */
#pragma once

#include <stdbool.h>

/* Caller frees. */
char *features_json(bool pretty);
