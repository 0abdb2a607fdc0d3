/* SPDX-License-Identifier: Apache-2.0 */
/* Settings that live in the kernel's own files, and the loopback interface. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "runtime-spec/spec.h"

/* Writes linux.sysctl, through our /proc, for the caller's namespaces.  Those of a network
 * interface that is not there are left to sysctl_set_interfaces(). */
int sysctl_set(const struct spec_key_value *sysctl, size_t n, struct error **ret_error);
/* Once interfaces have come: writes those again that are a network interface's. */
int sysctl_set_interfaces(const struct spec_key_value *sysctl, size_t n, struct error **ret_error);
/* Is one of them the file at path, below /proc/sys? */
bool sysctl_has(const struct spec_key_value *sysctl, size_t n, const char *path);
int oom_score_adj_set(int value, struct error **ret_error); /* of the caller */
/* Brings "lo" up in the caller's network namespace. */
int loopback_up(struct error **ret_error);
