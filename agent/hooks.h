/* startContainer hooks: the only ones that run in the guest (config.md "POSIX-
 * platform Hooks"), in the container's namespaces, before its program. */
#pragma once

#include "base/error.h"
#include "runtime-spec/spec.h"

/* Each gets the state JSON on stdin; one that fails or takes longer than its
 * timeout (it is killed then) is an error. */
int hooks_run(const struct spec_hook_list *list, const char *state, struct error **ret_error);
