/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENOSYS for system calls that are newer than a profile: instructions in front of the
 * container's filter.
 *
 * Programs and C libraries try a new call first, and fall back to an older one if the
 * kernel answers ENOSYS.  A profile does not know calls that were added after it was
 * written, and its default action, such as EPERM, would stop that.  As runc does, we
 * treat a call as newer if its number is above those of all calls that the profile names.
 */
#pragma once

#include <linux/filter.h>
#include <stddef.h>

#include "runtime-spec/spec.h"

#define SECCOMP_NEWER_MAX 10

/* The instructions, which return ENOSYS or go on to what follows them. Returns how many
 * they are: 0 where the profile leaves nothing to say. */
size_t seccomp_newer_program(const struct spec_seccomp *seccomp,
			     struct sock_filter program[static SECCOMP_NEWER_MAX]);
