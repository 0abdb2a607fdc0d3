/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An address space of registers, memory-mapped or ports: which device answers
 * where.  Built before the vCPUs run, and changed only while none does; lookups need
 * no lock and happen on every vCPU thread at once.
 */
#pragma once

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define BUS_RANGES_MAX 48

/* offset counts from the range's base; the access lies inside the range;
 * size is 1 to 8. */
struct bus_ops {
	void (*read)(void *data, uint64_t offset, void *ret_bytes, uint32_t size);
	void (*write)(void *data, uint64_t offset, const void *bytes, uint32_t size);
};

struct bus_range {
	uint64_t base;
	uint64_t size;
	const char *name; /* literal, for messages */
	const struct bus_ops *ops;
	void *data;
};

struct bus {
	struct bus_range ranges[BUS_RANGES_MAX];
	size_t n_ranges;
};

/* Refuses an empty, wrapping or overlapping range, and one too many. */
int bus_add(struct bus *bus, const struct bus_range *range, struct error **ret_error);

/* The range that begins at base loses its first bytes, as many as it has at most; its offsets count
 * from where it begins then.  ENOENT: there is none. */
int bus_cut(struct bus *bus, uint64_t base, uint64_t size, struct error **ret_error);

/* Where no device answers, reads give all ones and writes go nowhere, as on a
 * PC's bus.  An access that crosses a range's end is answered by nobody. */
void bus_read(const struct bus *bus, uint64_t address, void *ret_bytes, uint32_t size);
void bus_write(const struct bus *bus, uint64_t address, const void *bytes, uint32_t size);
