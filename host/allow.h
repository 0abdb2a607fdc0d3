/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which annotations of ours a container may have: the one owner of that rule.
 *
 * An annotation is a privilege: it has the task server, root, open a volume or boot a
 * kernel.  Who runs `supermachine` by hand is root, and wrote the bundle: everything is
 * allowed.  What containerd asks for, or has a pod's annotations (CRI-O), others wrote:
 * they size the machine, and have what the configuration file gives them besides:
 *
 *   "allow": {"annotations": ["vcpus", "memory", "cache", "accel", "volume"],
 *             "paths": ["/srv/volumes"]}
 *
 *   annotations   those that may be used at all (machine_option_word()), in place of the
 *                 default: vcpus, memory, cache, accel
 *   paths         the directories below which volumes and kernels may lie: none by default
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "runtime-spec/spec.h"

struct allow {
	bool has_options;
	uint32_t options; /* 1 << enum machine_option */
	char **paths;	  /* absolute, without "/" at their end; NULL: none */
};

/* The member "allow" of the configuration file; *allow is zeroed memory, which is the default
 * too; allow_done() frees it, after a failure too. */
int allow_read(const struct json_at *settings, struct allow *allow, struct error **ret_error);
void allow_done(struct allow *allow);

/* What this container may have: allow, or NULL, everything.  namespace: containerd's; NULL:
 * it is not containerd that asks. */
const struct allow *allow_for(const struct allow *allow, const struct spec *spec,
			      const char *namespace);
/* Refuses the first annotation of ours that is unknown, or not allowed. */
int allow_check(const struct allow *allow, const struct spec *spec, struct error **ret_error);
/* For beneath_open(): NULL, anywhere, if allow is NULL. */
const char *const *allow_paths(const struct allow *allow);
/* The error of a path that beneath_open() finds below none of them (EXDEV). */
int allow_refuse_path(const char *path, struct error **ret_error);
