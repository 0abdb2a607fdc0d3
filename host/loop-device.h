/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loop devices: a file as a block device (loop(4)), which disappears with its last user.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* Attaches the file to a free device.  *ret_path: the device's path, caller frees;
 * *ret_fd keeps the device until it is mounted, caller closes. */
int loop_device_attach(const char *file, bool readonly, char **ret_path, int *ret_fd,
		       struct error **ret_error);
