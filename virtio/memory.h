/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: the one way from a guest physical address to host memory.
 *
 * Built once before any device runs and not changed while one does; reading
 * the table needs no lock.  It does not know KVM: its builder registers the regions
 * as memory slots as well.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef uint64_t gpa_t;

#define MEM_REGIONS_MAX 8

struct mem_region {
	gpa_t base;
	uint64_t size; /* > 0; base + size does not wrap */
	void *hva;     /* mapped for size bytes */
	int fd;	       /* behind the mapping, -1 for none; the builder's */
};

struct guest_memory {
	struct mem_region regions[MEM_REGIONS_MAX]; /* ordered by base, disjoint */
	size_t n_regions;
};

/* Adds a region; an empty, wrapping or overlapping one is refused. */
int mem_add_region(struct guest_memory *memory, const struct mem_region *region,
		   struct error **ret_error);

/*
 * Host address of the length bytes at gpa, or NULL unless all of them lie in
 * one region.  length 0 is NULL.  The pointer is good for as long as the
 * memory; what is behind it may change under the reader at any time.
 */
void *mem_at(const struct guest_memory *memory, gpa_t gpa, uint64_t length);
