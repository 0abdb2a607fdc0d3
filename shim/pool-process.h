/* SPDX-License-Identifier: Apache-2.0 */
/* The process of the pool: sandbox/machine-pool.h until a signal ends it. */
#pragma once

#include "base/error.h"

/* Returns 0 after SIGTERM, SIGINT or SIGHUP, when all that waited has ended.  ENOENT: the
 * configuration file has no "pool"; EPERM: not root; EOPNOTSUPP: guests do not run on KVM here. */
int pool_process(struct error **ret_error);
