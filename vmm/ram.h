/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's RAM: one mapping, cut into the regions that the architecture's
 * memory map wants.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "virtio/memory.h"

struct ram {
	void *mapping; /* NULL: none */
	uint64_t size;
};

/* Maps size bytes (a multiple of 2 MiB is best) and adds them to memory. */
int ram_map(uint64_t size, struct guest_memory *memory, struct ram *ret_ram,
	    struct error **ret_error);
/* The same of a file of exactly that size (ram_check_file()): the memory is what is in it, page by
 * page until the guest writes there; the file does not change.  The descriptor is needed no more.
 */
int ram_map_file(uint64_t size, int fd, struct guest_memory *memory, struct ram *ret_ram,
		 struct error **ret_error);
/* Is it such a file?  A shorter one would end the process where the guest touches what is
 * missing. */
int ram_check_file(uint64_t size, int fd, struct error **ret_error);
void ram_unmap(struct ram *ram);

/* RAM for a guest in another process: a file of this size, all zeroes, that keeps
 * it. */
int ram_file_new(uint64_t size, int *ret_fd, struct error **ret_error);
