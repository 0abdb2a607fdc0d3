/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The volumes of a checkpointed container: disks with a file system that its guest has mounted and
 * knows parts of, so a restored one must find them as they were.
 *
 * Of a volume that is written to, the checkpoint has a copy, made while the machine stands still.
 * The restored container takes the volume that its bundle names if nobody has written to it since
 * (by its size and time of change), or makes it of the copy if there is none; what somebody has
 * written is not overwritten.  One that is read-only must be the same again, as a layer.
 * A path that has come to name another file than the machine has open is an error.
 */
#pragma once

#include "base/error.h"
#include "sandbox/checkpoint-copy.h"
#include "sandbox/checkpoint-manifest.h"

struct machine_plan;
struct sandbox;

/* ENOTSUP: one of them is a block device and written to, of which no copy is made. */
int checkpoint_volumes_check(const struct sandbox *sandbox, struct error **ret_error);
/* Into the manifest, which has none. The machine stands still. */
int checkpoint_volumes_note(const struct sandbox *sandbox, struct checkpoint_manifest *manifest,
			    struct error **ret_error);
/* Those of the plan are the manifest's, each of them read-only as it was. EINVAL. */
int checkpoint_volumes_compare(const struct checkpoint_manifest *manifest,
			       const struct machine_plan *plan, struct error **ret_error);

/* Copies volume i to the empty file: checkpoint_copy_file(). */
int checkpoint_volumes_copy(const struct sandbox *sandbox, size_t i, int target_fd,
			    checkpoint_copy_fn *function, void *data,
			    struct checkpoint_copy **ret_copy, struct error **ret_error);
