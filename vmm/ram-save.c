/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's RAM into a file: see ram.h.  What was never touched, and what is zero, is not
 * written. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "vmm/ram.h"

#define PAGEMAP_ENTRIES 8192u
/* "Page swapped"; the bit above it is "page present". */
#define PAGEMAP_SWAPPED_BIT 62

bool ram_is_zero(const uint8_t *page)
{
	uint64_t word, any = 0;

	for (size_t i = 0; i < RAM_PAGE_SIZE; i += sizeof(word)) {
		(void)memcpy(&word, page + i, sizeof(word));
		any |= word;
	}
	return any == 0;
}

/* By their entries in /proc/PID/pagemap (Linux, Documentation/admin-guide/mm/pagemap.rst): in
 * memory, or swapped out.  (mincore(2) does not tell the latter from those never touched.) */
static bool any_touched(const uint64_t *entries, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (entries[i] >> PAGEMAP_SWAPPED_BIT)
			return true;
	return false;
}

static bool any_page(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i += RAM_PAGE_SIZE)
		if (!ram_is_zero(bytes + i))
			return true;
	return false;
}

bool ram_is_from_file(const struct ram *ram, uint64_t at)
{
	const uint64_t chunk = at / RAM_CHUNK_SIZE;

	return ram->from_file && ram->from_file[chunk / 8] >> chunk % 8 & 1;
}

/* The n pages from at on. */
static int for_each_of(const struct ram *ram, uint64_t at, size_t n, const uint64_t *entries,
		       ram_chunk_fn *function, void *data)
{
	const size_t step = RAM_CHUNK_SIZE / RAM_PAGE_SIZE;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i += step, at += RAM_CHUNK_SIZE) {
		const bool is_there =
		    any_touched(entries + i, MIN(step, n - i)) || ram_is_from_file(ram, at);

		r = function(data, at, is_there ? (const uint8_t *)ram->mapping + at : NULL);
	}
	return r;
}

int ram_read_pagemap(const struct ram *ram, uint64_t at, uint64_t *ret_entries, size_t n)
{
	const uint64_t page = ((uintptr_t)ram->mapping + at) / RAM_PAGE_SIZE;
	const size_t size = n * sizeof(*ret_entries);

	if (ram->pagemap_fd < 0) {
		(void)memset(ret_entries, 0xff, size);
		return 0;
	}
	return pread(ram->pagemap_fd, ret_entries, size, (off_t)(page * sizeof(*ret_entries))) ==
		       (ssize_t)size
		   ? 0
		   : -1;
}

int ram_for_each_chunk(const struct ram *ram, ram_chunk_fn *function, void *data)
{
	_cleanup_free_ uint64_t *entries = xmalloc(PAGEMAP_ENTRIES * sizeof(*entries));
	const uint64_t step = (uint64_t)PAGEMAP_ENTRIES * RAM_PAGE_SIZE;
	int r = 0;

	for (uint64_t at = 0; r == 0 && at < ram->size; at += step) {
		const size_t n = (size_t)(MIN(ram->size - at, step) / RAM_PAGE_SIZE);

		r = ram_read_pagemap(ram, at, entries, n);
		if (r == 0)
			r = for_each_of(ram, at, n, entries, function, data);
	}
	return r;
}

/* Whole chunks: a process that maps them has few mappings then, and no hole in any
 * (ram_map_file()). */
static int save_chunk(void *data, uint64_t at, const uint8_t *bytes)
{
	const int *target_fd = data;

	if (!bytes || !any_page(bytes, RAM_CHUNK_SIZE))
		return 0;
	return lseek(*target_fd, (off_t)at, SEEK_SET) < 0
		   ? -1
		   : write_all(*target_fd, bytes, RAM_CHUNK_SIZE);
}

int ram_save(const struct ram *ram, int target_fd, struct error **ret_error)
{
	int r = ftruncate(target_fd, (off_t)ram->size);

	if (r == 0)
		r = ram_for_each_chunk(ram, save_chunk, &target_fd);
	return r < 0 ? error_set_errno(ret_error, errno, "cannot keep the guest's memory") : 0;
}
