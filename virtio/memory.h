/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: the one way from a guest physical address to host memory.
 *
 * Built once before any device runs and not changed while one does; reading
 * the table needs no lock.  It does not know KVM: its builder registers the regions
 * as memory slots as well.
 *
 * A region may be one of blocks, which come and go while devices run (mem.c): an address of
 * a block that is not there is none.  What is behind a region stays mapped all the time, so a
 * block that goes while a device still writes to it costs its guest what was in it, and nobody
 * else.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef uint64_t gpa_t;

#define MEM_REGIONS_MAX 8
/* As large as a huge page of x86-64, and as what its Linux takes from virtio-mem at least. */
#define MEM_BLOCK_SIZE (2ULL << 20)

/* Which blocks of a region are there; any thread may ask. */
struct mem_blocks {
	size_t n;
	_Atomic uint64_t words[]; /* a bit for each */
};

struct mem_region {
	gpa_t base;
	uint64_t size;			 /* > 0; base + size does not wrap */
	void *hva;			 /* mapped for size bytes */
	int fd;				 /* behind the mapping, -1 for none; the builder's */
	const struct mem_blocks *blocks; /* NULL: all of it is there */
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
 * one region, and are there.  length 0 is NULL.  The pointer is good for as long as the
 * memory; what is behind it may change under the reader at any time.
 */
void *mem_at(const struct guest_memory *memory, gpa_t gpa, uint64_t length);

/* For a region of size bytes (a multiple of MEM_BLOCK_SIZE), none of which are there; free(3). */
struct mem_blocks *mem_blocks_new(uint64_t size);
bool mem_blocks_have(const struct mem_blocks *blocks, size_t index);
/* n > 0 blocks from first on; all of them are the region's. */
bool mem_blocks_have_all(const struct mem_blocks *blocks, size_t first, size_t n);
bool mem_blocks_have_any(const struct mem_blocks *blocks, size_t first, size_t n);
void mem_blocks_set(struct mem_blocks *blocks, size_t first, size_t n, bool there);
/* The next blocks that are there, from *first on, which is moved to them; 0: there are no more. */
size_t mem_blocks_next(const struct mem_blocks *blocks, size_t *first);
