/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: see memory.h. */
#include "virtio/memory.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/checked.h"

#define WORD_BITS 64

int mem_add_region(struct guest_memory *memory, const struct mem_region *region,
		   struct error **ret_error)
{
	size_t at = 0;
	gpa_t end;

	if (memory->n_regions == MEM_REGIONS_MAX)
		return error_set(ret_error, ENOSPC, "too many guest memory regions");
	if (region->size == 0 || !region->hva || checked_add(region->base, region->size, &end))
		return error_set(
		    ret_error, EINVAL, "guest memory region 0x%llx+0x%llx is empty or wraps",
		    (unsigned long long)region->base, (unsigned long long)region->size);
	while (at < memory->n_regions && memory->regions[at].base < region->base)
		at++;
	if ((at > 0 &&
	     memory->regions[at - 1].base + memory->regions[at - 1].size > region->base) ||
	    (at < memory->n_regions && end > memory->regions[at].base))
		return error_set(ret_error, EEXIST, "guest memory region 0x%llx+0x%llx overlaps",
				 (unsigned long long)region->base,
				 (unsigned long long)region->size);
	for (size_t i = memory->n_regions; i > at; i--)
		memory->regions[i] = memory->regions[i - 1];
	memory->regions[at] = *region;
	memory->n_regions++;
	return 0;
}

/* length > 0, and all of it is within the region. */
static bool is_there(const struct mem_region *region, uint64_t offset, uint64_t length)
{
	const size_t first = offset / MEM_BLOCK_SIZE;
	const size_t last = (offset + length - 1) / MEM_BLOCK_SIZE;

	return !region->blocks || mem_blocks_have_all(region->blocks, first, last - first + 1);
}

void *mem_at(const struct guest_memory *memory, gpa_t gpa, uint64_t length)
{
	if (length == 0)
		return NULL;
	for (size_t i = 0; i < memory->n_regions; i++) {
		const struct mem_region *region = &memory->regions[i];
		uint64_t offset;

		if (gpa < region->base)
			return NULL;
		/* Never gpa + length, which the guest could make wrap. */
		offset = gpa - region->base;
		if (offset < region->size)
			return length <= region->size - offset && is_there(region, offset, length)
				   ? (char *)region->hva + offset
				   : NULL;
	}
	return NULL;
}

struct mem_blocks *mem_blocks_new(uint64_t size)
{
	const size_t n = size / MEM_BLOCK_SIZE;
	struct mem_blocks *blocks = xcalloc(1, sizeof(*blocks) + (n + WORD_BITS - 1) / WORD_BITS *
								     sizeof(blocks->words[0]));

	blocks->n = n;
	return blocks;
}

bool mem_blocks_have(const struct mem_blocks *blocks, size_t index)
{
	const uint64_t word =
	    atomic_load_explicit(&blocks->words[index / WORD_BITS], memory_order_relaxed);

	return word >> index % WORD_BITS & 1;
}

bool mem_blocks_have_all(const struct mem_blocks *blocks, size_t first, size_t n)
{
	for (size_t i = first; i < first + n; i++)
		if (!mem_blocks_have(blocks, i))
			return false;
	return true;
}

bool mem_blocks_have_any(const struct mem_blocks *blocks, size_t first, size_t n)
{
	for (size_t i = first; i < first + n; i++)
		if (mem_blocks_have(blocks, i))
			return true;
	return false;
}

void mem_blocks_set(struct mem_blocks *blocks, size_t first, size_t n, bool there)
{
	for (size_t i = first; i < first + n; i++) {
		const uint64_t bit = UINT64_C(1) << i % WORD_BITS;

		if (there)
			(void)atomic_fetch_or(&blocks->words[i / WORD_BITS], bit);
		else
			(void)atomic_fetch_and(&blocks->words[i / WORD_BITS], ~bit);
	}
}

size_t mem_blocks_next(const struct mem_blocks *blocks, size_t *first)
{
	size_t end;

	while (*first < blocks->n && !mem_blocks_have(blocks, *first))
		++*first;
	for (end = *first; end < blocks->n && mem_blocks_have(blocks, end); end++)
		;
	return end - *first;
}
