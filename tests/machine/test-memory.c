/* SPDX-License-Identifier: Apache-2.0 */
/* The memory map the guest is told of is there, below and above 4 GiB, and what
 * lies outside of it answers as nothing does. */
#ifdef GUEST

#include "tests/machine/guest.h"
#include "vmm/x86_64/layout.h"

#define E820_ENTRIES_AT 0x1e8 /* boot_params.e820_entries, .e820_table */
#define E820_TABLE_AT 0x2d0
#define E820_RAM 1

struct entry {
	uint64_t start, size;
	uint32_t type;
} __attribute__((packed));

static uint64_t high_directory[512] __attribute__((aligned(4096)));

/* Maps the GiB from 4 GiB on, which the VMM's tables leave out. */
static void map_high(void)
{
	uint64_t *pdpt = (uint64_t *)(uintptr_t)(PAGE_TABLES_START + 0x1000);

	__asm__("" : "+r"(pdpt));
	for (uint64_t i = 0; i < 512; i++)
		high_directory[i] = (HOLE_END + (i << 21)) | 0x83;
	pdpt[4] = (uintptr_t)high_directory | 3;
	__asm__ volatile("mov %%cr3, %%rax; mov %%rax, %%cr3" ::: "rax", "memory");
}

static void check_place(uint64_t address)
{
	write32(address, 0x12345678);
	GUEST_CHECK_INT(read32(address), 0x12345678);
}

static void check_range(const struct entry *entry)
{
	const uint64_t own_end = 16 * MIB; /* where this program and its stack are */
	uint64_t end = entry->start + entry->size;

	if (end > 5 * GIB)
		end = 5 * GIB; /* as far as is mapped */
	check_place(end - 4);
	if (entry->start >= own_end)
		check_place(entry->start);
}

void guest_main(const char *cmdline)
{
	const struct entry *table = (const void *)(guest_boot_params + E820_TABLE_AT);
	const uint32_t count = guest_boot_params[E820_ENTRIES_AT];
	uint64_t total = 0, last = 0;

	map_high();
	for (uint32_t i = 0; i < count; i++) {
		GUEST_CHECK(table[i].start >= last);
		last = table[i].start + table[i].size;
		if (table[i].type != E820_RAM)
			continue;
		total += table[i].size;
		check_range(&table[i]);
	}
	guest_print("ram ");
	guest_print_number(total);
	guest_print("\n");
	/* In the hole, and behind the end: all ones, and writes go nowhere. */
	write32(HOLE_START, 0);
	GUEST_CHECK_INT(read32(HOLE_START), 0xffffffff);
	if (guest_same(cmdline, "low only")) {
		write32(HOLE_END, 0);
		GUEST_CHECK_INT(read32(HOLE_END), 0xffffffff);
	}
}

#else

#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "tests/machine/harness.h"

/* 384 KiB below 1 MiB are no RAM for the guest. */
static void run(uint64_t mib, const char *cmdline)
{
	_cleanup_free_ char *total =
	    xasprintf("ram %llu\n", (unsigned long long)((mib << 20) - (384 << 10)));
	struct vm_config *config = vm_prepare(cmdline);
	struct vm vm;

	config->memory_mib = mib;
	vm_start(config, true, &vm);
	vm_expect_output(&vm, total);
	vm_expect_done(&vm);
}

static void test_smallest(void)
{
	run(VM_MEMORY_MIB_MIN, "low only");
}

static void test_odd(void)
{
	run(97, "low only");
}

static void test_up_to_the_hole(void)
{
	run(3072, "low only");
}

static void test_just_above(void)
{
	run(3073, "");
}

static void test_six_gib(void)
{
	run(6144, "");
}

static const struct test_case cases[] = {
	{ "the smallest memory", test_smallest },
	{ "an odd size", test_odd },
	{ "up to the hole", test_up_to_the_hole },
	{ "one MiB above 4 GiB", test_just_above },
	{ "six GiB", test_six_gib },
};

TEST_MAIN(cases)

#endif
