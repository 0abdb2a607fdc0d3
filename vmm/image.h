/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that is loaded into guest memory: kernel or initramfs.  Its content
 * is hostile: readers check every offset with the functions below.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "protocol/vm-config.h"
#include "virtio/memory.h"

struct image {
	char *name; /* for messages */
	int fd;
	uint64_t size;
};

/* Opens the file (or takes its descriptor over), which must be a regular one. */
int image_open(const struct vm_file *file, struct image *ret_image, struct error **ret_error);
void image_close(struct image *image); /* an all-zero image is fine */

/* Exactly size bytes at offset; fewer there: an error. */
int image_read(const struct image *image, uint64_t offset, void *ret_bytes, uint64_t size,
	       struct error **ret_error);
/* The same into guest memory at gpa, which must have room. */
int image_load(const struct image *image, uint64_t offset, uint64_t size,
	       const struct guest_memory *memory, gpa_t gpa, struct error **ret_error);

/* What a guest is started with: kernel and initramfs, config->n_initramfs of
 * them.  All zero: none is open. */
struct images {
	struct image kernel;
	struct image initramfs[VM_INITRAMFS_MAX];
};
/* On failure what was opened is left for images_close(). */
int images_open(const struct vm_config *config, struct images *images, struct error **ret_error);
void images_close(struct images *images);
