/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.cgroupsPath and linux.resources as the kernel has them: for the container's cgroup in
 * the guest and for the sandbox's on the host.  config-linux.md speaks of cgroup v1; the
 * conversions to v2 are those of runc (opencontainers/cgroups fs2), which callers expect to
 * read back.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* In systemd's form, "SLICE:PREFIX:NAME". */
bool cgroup_terms_is_systemd(const char *cgroups_path);
/* Its directory: cgroupfs' "/a/b" (or "a/b") without empty components and ".", systemd's as its
 * slices and "PREFIX-NAME.scope" below them.  EINVAL: it has ".." or a control character, or
 * names nothing.  Caller frees. */
int cgroup_terms_path(const char *cgroups_path, char **ret_path, struct error **ret_error);

/* Of systemd's form, the slice ("": the default one) and the unit's name, a scope's.  Caller frees
 * both. */
void cgroup_terms_unit(const char *cgroups_path, char **ret_slice, char **ret_name);

/* cpu.weight for linux.resources.cpu.shares. */
int64_t cgroup_terms_weight(uint64_t shares);
/* io.weight for linux.resources.blockIO.weight. */
int64_t cgroup_terms_io_weight(uint16_t weight);
/* v1's limit is memory and swap together (memory.swap), v2's is swap alone.  -1: none;
 * *ret_swap 0: leave it, unless both are equal. */
int cgroup_terms_swap(int64_t limit, int64_t memory_swap, int64_t *ret_swap,
		      struct error **ret_error);
