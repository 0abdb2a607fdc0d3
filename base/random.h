/* SPDX-License-Identifier: Apache-2.0 */
/* Random bytes of the kernel's, fit for keys. */
#pragma once

#include <stddef.h>

#include "base/error.h"

/* size: at most 256 bytes, which never come short once the kernel's pool is ready (getrandom(2));
 * until then this waits. */
int random_bytes(void *bytes, size_t size, struct error **ret_error);
