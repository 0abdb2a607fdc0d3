/*
 * A file that is loaded into guest memory: kernel or initramfs.  Its content
 * is hostile: whoever reads it checks every offset here.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "virtio/memory.h"
#include "vmm/vm-config.h"

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
