/* SPDX-License-Identifier: Apache-2.0 */
/* Moving a kernel's virtual addresses: see relocate.h. */
#include "vmm/x86_64/relocate.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/random.h"
#include "vmm/x86_64/layout.h"

#define START_KERNEL_MAP 0xffffffff80000000ULL
#define KERNEL_IMAGE_SIZE GIB /* for which Linux has page tables there */
#define ALIGNMENT (2 * MIB)   /* of its text: a large page */
#define LIST_MAX (16 * MIB)

enum part { PART_64, PART_INVERSE, PART_32, N_PARTS };

/* The list's parts, checked: every place is in the kernel's memory. */
struct relocations {
	const uint32_t *parts[N_PARTS];
	size_t sizes[N_PARTS];
};

static gpa_t place_of(uint32_t number)
{
	return (uint64_t)(int32_t)number - START_KERNEL_MAP;
}

static bool is_in_kernel(gpa_t at, size_t size, const Elf64_Phdr *segments, size_t n_segments)
{
	for (size_t i = 0; i < n_segments; i++)
		if (at >= segments[i].p_paddr && segments[i].p_memsz >= size &&
		    at - segments[i].p_paddr <= segments[i].p_memsz - size)
			return true;
	return false;
}

/* False: it is something else. */
static bool take_apart(const uint32_t *list, size_t n, const Elf64_Phdr *segments,
		       size_t n_segments, struct relocations *ret_relocations)
{
	size_t i = 0;

	for (enum part part = PART_64; part < N_PARTS; part++) {
		const size_t width = part == PART_64 ? 8 : 4;
		size_t start;

		if (i == n || list[i] != 0)
			return false;
		for (start = ++i; i < n && list[i] != 0; i++)
			if (!is_in_kernel(place_of(list[i]), width, segments, n_segments))
				return false;
		ret_relocations->parts[part] = list + start;
		ret_relocations->sizes[part] = i - start;
	}
	return i == n && ret_relocations->sizes[PART_32] > 0;
}

static void add_64(void *at, uint64_t offset)
{
	uint64_t value;

	(void)memcpy(&value, at, sizeof(value));
	value += offset;
	(void)memcpy(at, &value, sizeof(value));
}

static void add_32(void *at, uint32_t offset)
{
	uint32_t value;

	(void)memcpy(&value, at, sizeof(value));
	value += offset;
	(void)memcpy(at, &value, sizeof(value));
}

static void move_by(const struct relocations *relocations, const struct guest_memory *memory,
		    uint64_t offset)
{
	for (size_t i = 0; i < relocations->sizes[PART_64]; i++)
		add_64(mem_at(memory, place_of(relocations->parts[PART_64][i]), 8), offset);
	for (size_t i = 0; i < relocations->sizes[PART_INVERSE]; i++)
		add_32(mem_at(memory, place_of(relocations->parts[PART_INVERSE][i]), 4),
		       -(uint32_t)offset);
	for (size_t i = 0; i < relocations->sizes[PART_32]; i++)
		add_32(mem_at(memory, place_of(relocations->parts[PART_32][i]), 4),
		       (uint32_t)offset);
}

/* As kaslr.c does: any place at which the whole kernel is below the end of its page tables. */
static int draw_offset(gpa_t kernel_end, uint64_t *ret_offset, struct error **ret_error)
{
	uint64_t number;

	*ret_offset = 0;
	if (kernel_end >= KERNEL_IMAGE_SIZE)
		return 0;
	if (random_bytes(&number, sizeof(number), ret_error) < 0)
		return -1;
	*ret_offset = number % ((KERNEL_IMAGE_SIZE - kernel_end) / ALIGNMENT + 1) * ALIGNMENT;
	return 0;
}

int relocate_kernel(const struct image *image, uint64_t list, const Elf64_Phdr *segments,
		    size_t n_segments, gpa_t kernel_end, const struct guest_memory *memory,
		    bool *ret_moved, struct error **ret_error)
{
	const uint64_t size = list < image->size ? image->size - list : 0;
	_cleanup_free_ uint32_t *numbers = NULL;
	struct relocations relocations;
	uint64_t offset;

	*ret_moved = false;
	if (size == 0 || size > LIST_MAX || size % sizeof(numbers[0]) != 0)
		return 0;
	numbers = xmalloc(size);
	if (image_read(image, list, numbers, size, ret_error) < 0)
		return -1;
	if (!take_apart(numbers, size / sizeof(numbers[0]), segments, n_segments, &relocations))
		return 0;
	if (draw_offset(kernel_end, &offset, ret_error) < 0)
		return -1;
	move_by(&relocations, memory, offset);
	*ret_moved = true;
	return 0;
}
