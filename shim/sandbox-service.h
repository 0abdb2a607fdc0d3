/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd.runtime.sandbox.v1.Sandbox: a machine that is asked for without a container
 * (containerd 2.x, `sandboxer = "shim"`).  sandbox/kept.h has what it means.
 */
#pragma once

#include "sandbox/sandbox.h"
#include "ttrpc/ttrpc.h"

#define SANDBOX_SERVICE "containerd.runtime.sandbox.v1.Sandbox"

/* The service over this sandbox, which outlives it. */
struct ttrpc_service sandbox_service(struct sandbox *sandbox);
