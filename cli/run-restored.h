/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers of images in checkpoints. Their bundle is in ROOT/ID and goes with them, so a
 * checkpoint has it beside the machine:
 *
 *   DIRECTORY/bundle/       config.json and the files of the bundle
 *   DIRECTORY/bundle/image  the digest of the image's manifest
 *   DIRECTORY/bundle/volumes, disk  the names of its volumes and of its disk (run-disk.h), if any
 */
#pragma once

#include <stdbool.h>

#include "cli/verb.h"
#include "client/create.h"

/* Whether the container is of an image, which `run` has made a bundle for. */
bool run_restored_applies(const struct client *client, const char *id);
/* Whether it could be made again: its image is there.  Touches nothing. */
int run_restored_check(const struct command *command, const char *id, struct error **ret_error);
/* The bundle, to the directory of a checkpoint, in place of an older one; of another container
 * than an image's there is none. Synced, as the rest of a checkpoint is. */
int run_restored_keep(const struct command *command, const char *id, const char *directory,
		      struct error **ret_error);

/* The container is deleted: its image need not stay for it, and its disks (run_disks_used()) go. */
void run_restored_release(const struct command *command, const char *id, char *const *disks);

/* Whether there is such a bundle. */
bool run_restored_is_kept(const char *directory);
/* As run_container(): a container of the checkpoint in options->checkpoint, whose image is in the
 * store, or held by the container `like` (NULL: none).  A detached one writes to its log.
 * ENOENT: the image is not there. */
int run_restored(const struct command *command, const struct create_options *options,
		 const char *like, const char *id, struct error **ret_error);
