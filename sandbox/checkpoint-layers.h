/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The images that a checkpointed container's root is made of. The guest knows their file systems
 * and has parts of them in its memory, so a restored one must have the same below it. They are
 * told apart by type, size and their first bytes, where a file system keeps its UUID or time of
 * making, and its counts.
 */
#pragma once

#include "base/error.h"
#include "sandbox/checkpoint-manifest.h"
#include "sandbox/plan/container-plan.h"

/* What tells an image, a file or block device, from others: its size and fnv1a() of its first
 * bytes. -1 with errno. */
int checkpoint_image_identify(int fd, uint64_t *ret_size, uint64_t *ret_head);
/* Into the manifest, which has none. Reads the images: fails as open(2) and read(2) do. */
int checkpoint_layers_note(const struct container_plan *plan, struct checkpoint_manifest *manifest,
			   struct error **ret_error);
/* EINVAL: those of the plan are others; the error names the first. */
int checkpoint_layers_check(const struct checkpoint_manifest *manifest,
			    const struct container_plan *plan, struct error **ret_error);
