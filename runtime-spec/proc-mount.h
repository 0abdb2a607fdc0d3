/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may be mounted on /proc and below it, by runc 1.1.5's rule: /proc is what a runtime
 * and the container's programs trust to be the kernel's.
 */
#pragma once

#include "base/error.h"

struct spec_mount;

/* path: where the mount goes, an absolute path in the container; its "." and ".." are
 * resolved as text.  The host asks with the mount's own destination, before anything is
 * started, the agent with what the links of the image make of it. */
int proc_mount_check(const struct spec_mount *mount, const char *path, struct error **ret_error);
