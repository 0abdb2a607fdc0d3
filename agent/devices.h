/* SPDX-License-Identifier: Apache-2.0 */
/* /dev of a container: config-linux.md "Devices" and "Default Devices". */
#pragma once

#include "base/error.h"
#include "runtime-spec/spec.h"

/* In a user namespace no node can be made, only bound: makes those of linux.devices before, in
 * a directory that must not exist. */
int devices_prepare(const struct spec *spec, const char *directory, struct error **ret_error);
/* Makes the default devices, those of linux.devices, and the links, inside the root.
 * prepared: nodes are bound, those of linux.devices from this directory of devices_prepare(),
 * the default ones from our /dev; NULL: they are made. */
int devices_make(const struct spec *spec, int root_fd, const char *prepared,
		 struct error **ret_error);
