/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptors that the VMM inherits: those that its document names, and no other. */
#pragma once

#include "base/error.h"
#include "protocol/vm-config.h"

/* Each is open, is what the document takes it for, and is named once; outputs may be the
 * same one. */
int inherited_check(const struct vm_config *config, struct error **ret_error);
/* Closes every other from 3 on. */
void inherited_close_others(const struct vm_config *config);
