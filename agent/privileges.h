/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who the container's process is: capabilities, user, no_new_privs, rlimits.  All in
 * the process itself, between fork and exec.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "runtime-spec/spec.h"

/* Narrows the bounding set; needs CAP_SETPCAP, so: first. */
int capabilities_bound(const struct spec_capabilities *capabilities, struct error **ret_error);
/* Sets groups, gid and uid; permitted capabilities survive for the next step. */
int user_become(const struct spec_user *user, struct error **ret_error);
/* The remaining four sets, after the user.  Those in `kept` (1 << CAP_…) stay permitted
 * beside them; execve(2) asks what is inheritable, ambient and bounding, so no program
 * has them. */
int capabilities_set(const struct spec_capabilities *capabilities, uint64_t kept,
		     struct error **ret_error);
/* Makes a permitted capability effective. */
int capability_raise(int capability, struct error **ret_error);

int rlimits_set(const struct spec_rlimit *rlimits, size_t n_rlimits, struct error **ret_error);
/* Before the process enters a user namespace, in which nobody may raise a limit: raises the hard
 * ones that rlimits_set() is to set. */
int rlimits_raise(const struct spec_rlimit *rlimits, size_t n_rlimits, struct error **ret_error);
int no_new_privileges_set(struct error **ret_error);
