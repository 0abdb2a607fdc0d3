/*
 * Who the container's process is: capabilities, user, no_new_privs, rlimits,
 * seccomp.  All in the process itself, between fork and exec.
 */
#pragma once

#include "base/error.h"
#include "runtime-spec/spec.h"

/* Narrows the bounding set; needs CAP_SETPCAP, so: first. */
int capabilities_bound(const struct spec_capabilities *capabilities, struct error **ret_error);
/* Sets groups, gid and uid; permitted capabilities survive for the next step. */
int user_become(const struct spec_user *user, struct error **ret_error);
/* The remaining four sets, after the user. */
int capabilities_set(const struct spec_capabilities *capabilities, struct error **ret_error);

int rlimits_set(const struct spec_rlimit *rlimits, size_t n_rlimits, struct error **ret_error);
int no_new_privileges_set(struct error **ret_error);
/* Loads linux.seccomp; no_new_privs or CAP_SYS_ADMIN is needed. */
int seccomp_install(const struct spec_seccomp *seccomp, struct error **ret_error);
/* What seccomp_install() would refuse later: before anything is made. */
int seccomp_check(const struct spec_seccomp *seccomp, struct error **ret_error);
