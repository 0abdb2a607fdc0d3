/* SPDX-License-Identifier: Apache-2.0 */
/* A container's time namespace: time_namespaces(7). */
#pragma once

#include "base/error.h"
#include "runtime-spec/spec.h"

/* The caller, who must have one thread and our /proc, goes to a new time namespace with
 * linux.timeOffsets. */
int time_namespace_enter(const struct spec_linux *linux_, struct error **ret_error);
