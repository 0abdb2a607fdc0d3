/* SPDX-License-Identifier: Apache-2.0 */
/* /dev of a container: config-linux.md "Devices" and "Default Devices". */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "runtime-spec/spec.h"

/* Makes the default devices, those of linux.devices, and the links, inside the
 * root.  bind: nodes are bound from our /dev, as a user namespace must. */
int devices_make(const struct spec *spec, int root_fd, bool bind, struct error **ret_error);
