/* SPDX-License-Identifier: Apache-2.0 */
/* What the container's process executes: environment, lookup in PATH. */
#pragma once

#include "base/error.h"
#include "runtime-spec/spec.h"

/* The process's environment: later values of a name replace earlier ones, HOME
 * comes from the container's /etc/passwd if it is not set. A strv. */
char **program_environment(char *const *env, uint32_t uid);
/* The value of a name in an environment, or NULL. */
const char *environment_get(char *const *env, const char *name);
/* The path of argv[0]; errors have the wording that Docker reads. Caller frees. */
int program_find(const char *name, char *const *env, char **ret_path, struct error **ret_error);
