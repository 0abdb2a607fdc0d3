/* SPDX-License-Identifier: Apache-2.0 */
/* virtio/memory: the one way from a guest physical address to host memory. */
#include <stdlib.h>
#include <sys/mman.h>

#include "tests/unit/test.h"
#include "virtio/memory.h"

static char low[0x2000], high[0x3000], next[0x1000];

#define HIGH_BASE 0x100000000ULL
#define NEXT_BASE (HIGH_BASE + 0x3000)

static void add(struct guest_memory *memory, gpa_t base, uint64_t size, void *hva)
{
	struct error *error = NULL;
	struct mem_region region = { .base = base, .size = size, .hva = hva, .fd = -1 };

	CHECK_OK(mem_add_region(memory, &region, &error), &error);
}

static void refuse(struct guest_memory *memory, gpa_t base, uint64_t size, void *hva,
		   const char *part)
{
	struct error *error = NULL;
	struct mem_region region = { .base = base, .size = size, .hva = hva, .fd = -1 };
	struct guest_memory before = *memory;

	CHECK_ERROR(mem_add_region(memory, &region, &error), &error, part);
	CHECK_INT(memory->n_regions, before.n_regions);
	for (size_t i = 0; i < before.n_regions; i++)
		CHECK(memory->regions[i].base == before.regions[i].base);
}

/* [0x1000, 0x3000), a gap, [4 GiB, 4 GiB + 0x3000) and [.., + 0x1000) behind it. */
static struct guest_memory three_regions(void)
{
	struct guest_memory memory = { 0 };

	add(&memory, NEXT_BASE, sizeof(next), next);
	add(&memory, 0x1000, sizeof(low), low);
	add(&memory, HIGH_BASE, sizeof(high), high);
	return memory;
}

static void test_edges(void)
{
	struct guest_memory memory = three_regions();
	const struct {
		gpa_t gpa;
		uint64_t length;
		void *wanted;
	} table[] = {
		{ 0x1000, 1, low },
		{ 0x1000, 0x2000, low },
		{ 0x2fff, 1, low + 0x1fff },
		{ HIGH_BASE, 0x3000, high },
		{ HIGH_BASE + 0x10, 0x2ff0, high + 0x10 },
		{ NEXT_BASE - 1, 1, high + 0x2fff },
		{ NEXT_BASE, 0x1000, next },
		/* below the base, at the end, over the end */
		{ 0xfff, 1, NULL },
		{ 0xfff, 2, NULL },
		{ 0, 0x4000, NULL },
		{ 0x3000, 1, NULL },
		{ 0x2fff, 2, NULL },
		{ 0x1000, 0x2001, NULL },
		/* in the gap, across it, over two regions that touch */
		{ 0x80000000, 8, NULL },
		{ 0x2ff0, HIGH_BASE, NULL },
		{ NEXT_BASE - 1, 2, NULL },
		{ NEXT_BASE + 0x1000, 1, NULL },
		/* gpa + length wraps to something valid */
		{ 0x1000, UINT64_MAX, NULL },
		{ 0x2000, UINT64_MAX - 0xfff, NULL },
		{ UINT64_MAX, 0x1002, NULL },
		{ UINT64_MAX - 7, 8, NULL },
		{ UINT64_MAX, 1, NULL },
		{ UINT64_MAX, UINT64_MAX, NULL },
		/* nothing has no address */
		{ 0x1000, 0, NULL },
		{ 0, 0, NULL },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (mem_at(&memory, table[i].gpa, table[i].length) != table[i].wanted)
			test_fail(__FILE__, __LINE__, "wrong answer for 0x%llx+0x%llx",
				  (unsigned long long)table[i].gpa,
				  (unsigned long long)table[i].length);
}

static void test_regions(void)
{
	struct guest_memory memory = three_regions();

	CHECK(memory.regions[0].base == 0x1000 && memory.regions[1].base == HIGH_BASE &&
	      memory.regions[2].base == NEXT_BASE);
	refuse(&memory, 0x10000, 0, low, "empty");
	refuse(&memory, 0x10000, 0x1000, NULL, "empty");
	refuse(&memory, UINT64_MAX - 0xfff, 0x1000, low, "wraps");
	refuse(&memory, UINT64_MAX - 0xfff, 0x2000, low, "wraps");
	refuse(&memory, 0x1000, 0x2000, low, "overlaps");
	refuse(&memory, 0, 0x1001, low, "overlaps");
	refuse(&memory, 0x2fff, 1, low, "overlaps");
	refuse(&memory, 0, HIGH_BASE * 2, low, "overlaps");
	refuse(&memory, HIGH_BASE - 1, 2, low, "overlaps");
	add(&memory, 0, 0x1000, low);
	add(&memory, 0x3000, HIGH_BASE - 0x3000, low);
	CHECK_INT(memory.n_regions, 5);
	for (gpa_t base = NEXT_BASE + 0x1000; memory.n_regions < MEM_REGIONS_MAX; base += 0x1000)
		add(&memory, base, 0x1000, low);
	refuse(&memory, 0x1000000000000ULL, 0x1000, low, "too many");
}

/* Of a region of blocks, only what is there. */
static void test_blocks(void)
{
	const uint64_t size = 130 * MEM_BLOCK_SIZE;
	struct mem_blocks *blocks = mem_blocks_new(size);
	char *at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct mem_region region = {
		.base = HIGH_BASE, .size = size, .hva = at, .fd = -1, .blocks = blocks
	};
	struct guest_memory memory = { 0 };
	struct error *error = NULL;
	size_t first = 0;

	CHECK(at != MAP_FAILED);
	CHECK_INT(blocks->n, 130);
	CHECK_OK(mem_add_region(&memory, &region, &error), &error);
	CHECK(!mem_at(&memory, HIGH_BASE, 1) && mem_blocks_next(blocks, &first) == 0);
	mem_blocks_set(blocks, 63, 66, true);
	CHECK(mem_at(&memory, HIGH_BASE + 63 * MEM_BLOCK_SIZE, 66 * MEM_BLOCK_SIZE) ==
	      at + 63 * MEM_BLOCK_SIZE);
	CHECK(mem_at(&memory, HIGH_BASE + 129 * MEM_BLOCK_SIZE - 1, 1));
	CHECK(!mem_at(&memory, HIGH_BASE + 63 * MEM_BLOCK_SIZE - 1, 1));
	CHECK(!mem_at(&memory, HIGH_BASE + 63 * MEM_BLOCK_SIZE - 1, 2));
	CHECK(!mem_at(&memory, HIGH_BASE + 129 * MEM_BLOCK_SIZE - 1, 2));
	CHECK(!mem_at(&memory, HIGH_BASE + 129 * MEM_BLOCK_SIZE, 1));
	CHECK(!mem_at(&memory, HIGH_BASE, size));
	mem_blocks_set(blocks, 64, 1, false);
	CHECK(!mem_at(&memory, HIGH_BASE + 63 * MEM_BLOCK_SIZE, 66 * MEM_BLOCK_SIZE));
	CHECK(!mem_at(&memory, HIGH_BASE + 64 * MEM_BLOCK_SIZE + 7, 1));
	first = 0;
	CHECK_INT(mem_blocks_next(blocks, &first), 1);
	CHECK_INT(first, 63);
	first++;
	CHECK_INT(mem_blocks_next(blocks, &first), 64);
	CHECK_INT(first, 65);
	CHECK(mem_blocks_have_any(blocks, 0, 64) && !mem_blocks_have_any(blocks, 0, 63));
	CHECK(munmap(at, size) == 0);
	free(blocks);
}

static const struct test_case cases[] = {
	{ "blocks", test_blocks },
	{ "translation at every edge", test_edges },
	{ "regions", test_regions },
};

TEST_MAIN(cases)
