/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk of an image's container that has what is written to its root file system: an ext4 file
 * of the store, which the container alone has, from its first start until `rm`.
 *
 * STORE/disks is a directory of volumes (host/volumes.h), and the file is in one of them that
 * containers do not see: who uses it and what nobody uses any more is told as of volumes.
 */
#pragma once

#include "base/error.h"
#include "rootfs/image/store.h"

struct run_disk {
	char *directory, *name; /* NULL: there is none */
};

/* The value of --disk, in bytes; 0 of NULL: there is none. */
int run_disk_read(const char *size, uint64_t *ret_bytes, struct error **ret_error);
/* A disk of so many bytes, 0: none. The container's annotations get one more. */
int run_disk_plan(struct run_disk *disk, uint64_t bytes, const struct image_store *store,
		  char ***annotations, struct error **ret_error);
/* Of a container of a checkpoint, whose config.json's text names the disk `old`: one of its own,
 * which the task server makes of the checkpoint's copy. */
int run_disk_replace(struct run_disk *disk, const char *old, const struct image_store *store,
		     char **config, struct error **ret_error);
/* A place for it, of which the container of this directory is the user. */
int run_disk_take(const struct run_disk *disk, const char *container_directory,
		  struct error **ret_error);
/* The container is gone; what fails is logged. */
void run_disk_remove(const struct run_disk *disk);
void run_disk_done(struct run_disk *disk);

/* The same by their names: those of a container, and once it is gone. (strv_free()) */
int run_disks_used(const char *container_directory, char ***ret_names, struct error **ret_error);
void run_disks_remove(const struct image_store *store, char *const *names);
/* Removes those whose containers are gone; *bytes grows by what they took. */
void run_disks_prune(const struct image_store *store, uint64_t *bytes);
