/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: see memory.h. */
#include "virtio/memory.h"

#include <errno.h>

#include "base/checked.h"

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
			return length <= region->size - offset ? (char *)region->hva + offset
							       : NULL;
	}
	return NULL;
}
