/* SPDX-License-Identifier: Apache-2.0 */
/* Where a mount of config.json really goes, once the links of the image are resolved. */
#pragma once

#include "base/error.h"
#include "runtime-spec/spec.h"

/* fd: what is at the mount's destination in the root.  The host has looked at the
 * destination's text (sandbox/plan/plan-check.c); this is the rule for what it names. */
int mount_place_check(const struct spec_mount *mount, int root_fd, int fd,
		      struct error **ret_error);
/* -1: runc's error for this mount, by an errno value. */
int mount_place_error(const struct spec_mount *mount, int code, struct error **ret_error);
