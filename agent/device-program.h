/* SPDX-License-Identifier: Apache-2.0 */
/* The eBPF program that a cgroup v2 asks before a device is opened or made. */
#pragma once

#include <linux/bpf.h>
#include <stddef.h>

#include "base/error.h"
#include "runtime-spec/spec.h"

#define DEVICE_RULES_MAX 512

/* Compiles rules, of which the last that speaks of an access decides on it; what
 * no rule allows is refused. *ret_program is the caller's. */
int device_program_compile(const struct spec_device_cgroup *rules, size_t n_rules,
			   struct bpf_insn **ret_program, size_t *ret_size,
			   struct error **ret_error);
