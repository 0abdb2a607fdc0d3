/* SPDX-License-Identifier: Apache-2.0 */
/* Address spaces of registers: see bus.h. */
#include "vmm/bus.h"

#include <errno.h>
#include <string.h>

#include "base/checked.h"

static bool ranges_overlap(const struct bus_range *a, const struct bus_range *b)
{
	return a->base < b->base + b->size && b->base < a->base + a->size;
}

int bus_add(struct bus *bus, const struct bus_range *range, struct error **ret_error)
{
	uint64_t end;

	if (range->size == 0 || checked_add(range->base, range->size, &end))
		return error_set(ret_error, EINVAL, "%s: not a range of addresses", range->name);
	for (size_t i = 0; i < bus->n_ranges; i++)
		if (ranges_overlap(range, &bus->ranges[i]))
			return error_set(ret_error, EEXIST, "%s and %s overlap at 0x%llx",
					 range->name, bus->ranges[i].name,
					 (unsigned long long)range->base);
	if (bus->n_ranges == BUS_RANGES_MAX)
		return error_set(ret_error, ENOSPC, "%s: the bus is full", range->name);
	bus->ranges[bus->n_ranges++] = *range;
	return 0;
}

int bus_cut(struct bus *bus, uint64_t base, uint64_t size, struct error **ret_error)
{
	for (size_t i = 0; i < bus->n_ranges; i++) {
		struct bus_range *range = &bus->ranges[i];

		if (range->base != base || range->size < size)
			continue;
		range->base += size;
		range->size -= size;
		return 0;
	}
	return error_set(ret_error, ENOENT, "the bus has no range at 0x%llx",
			 (unsigned long long)base);
}

static const struct bus_range *find(const struct bus *bus, uint64_t address, uint32_t size)
{
	for (size_t i = 0; i < bus->n_ranges; i++) {
		const struct bus_range *range = &bus->ranges[i];

		if (address >= range->base && address - range->base < range->size)
			return size <= range->size - (address - range->base) ? range : NULL;
	}
	return NULL;
}

void bus_read(const struct bus *bus, uint64_t address, void *ret_bytes, uint32_t size)
{
	const struct bus_range *range = find(bus, address, size);

	(void)memset(ret_bytes, 0xff, size);
	if (range)
		range->ops->read(range->data, address - range->base, ret_bytes, size);
}

void bus_write(const struct bus *bus, uint64_t address, const void *bytes, uint32_t size)
{
	const struct bus_range *range = find(bus, address, size);

	if (range)
		range->ops->write(range->data, address - range->base, bytes, size);
}
