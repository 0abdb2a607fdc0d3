/* SPDX-License-Identifier: Apache-2.0 */
/* startContainer hooks: the only ones that run in the guest (config.md "POSIX-
 * platform Hooks"), in the container's namespaces, before its program. */
#pragma once

#include "agent/seccomp.h"
#include "base/error.h"
#include "runtime-spec/spec.h"

/* Each gets the state JSON on stdin, and the filter (NULL: none), as its program is the
 * image's; one that fails or takes longer than its timeout (it is killed then) is an
 * error. */
int agent_hooks_run(const struct spec_hook_list *list, const char *state,
		    const struct seccomp_filter *filter, struct error **ret_error);
