/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers that share a machine because one names another's namespaces, as /proc/PID/ns/TYPE
 * of the process that stands for it (podman's pods, `--pid container:`). A pod of Kubernetes
 * is told by annotations, and is containerd's to put together.
 */
#pragma once

#include "base/error.h"
#include "runtime-spec/spec.h"

/* *ret_id, the caller's: the container below root for which the machine was made whose process the
 * paths name; NULL: they name none of ours. ENOTSUP for those of more than one machine. */
int join_find(const char *root, const struct spec *spec, char **ret_id, struct error **ret_error);
