/* SPDX-License-Identifier: Apache-2.0 */
/* What has changed in a memory (vmm/ram-changes.h): kept, put together again, and files that are
 * none. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/fnv.h"
#include "tests/unit/test.h"
#include "vmm/ram-changes.h"

#define PAGE RAM_PAGE_SIZE
#define MIB (1u << 20)
#define SIZE (8 * MIB)
#define PAGES (SIZE / PAGE)
#define CHAIN_MAX 6
#define OTHERS_MAX 256 /* mappings of the C library, and of a sanitizer */

/* A memory, and what it was at each time that it was kept. */
struct rig {
	struct ram ram;
	int fds[CHAIN_MAX];
	size_t n;
};

static int new_file(void)
{
	char path[] = "/var/tmp/test-vmm-changes.XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0 && unlink(path) == 0);
	return fd;
}

static uint8_t *page(const struct ram *ram, size_t i)
{
	return (uint8_t *)ram->mapping + i * PAGE;
}

static void fill(const struct ram *ram, size_t first, size_t n, int value)
{
	for (size_t i = first; i < first + n; i++) {
		(void)memset(page(ram, i), value, PAGE);
		/* No two pages are alike, unless they are zeroes. */
		if (value)
			(void)memcpy(page(ram, i), &i, sizeof(i));
	}
}

static void rig_init(struct rig *rig)
{
	struct guest_memory memory = { 0 };
	struct error *error = NULL;

	rig->n = 0;
	CHECK_OK(ram_map(SIZE, 0, &memory, &rig->ram, &error), &error);
	(void)madvise(rig->ram.mapping, SIZE, MADV_NOHUGEPAGE);
}

static void rig_done(struct rig *rig)
{
	ram_unmap(&rig->ram);
	while (rig->n > 0)
		CHECK(close(rig->fds[--rig->n]) == 0);
}

/* Bytes of the file on disk. */
static size_t rig_keep(struct rig *rig)
{
	struct error *error = NULL;
	int fd = new_file();
	struct stat st;

	CHECK(rig->n < CHAIN_MAX);
	CHECK_OK(rig->n == 0 ? ram_save(&rig->ram, fd, &error)
			     : ram_save_changes(&rig->ram, rig->fds, rig->n, fd, &error),
		 &error);
	CHECK(fstat(fd, &st) == 0);
	rig->fds[rig->n++] = fd;
	return (size_t)st.st_blocks * 512;
}

static void map_again(const struct rig *rig, struct ram *ret_ram)
{
	struct guest_memory memory = { 0 };
	struct error *error = NULL;

	CHECK_OK(ram_map_file(SIZE, 0, rig->fds[0], &memory, ret_ram, &error), &error);
	CHECK_OK(ram_map_changes(ret_ram, rig->fds + 1, rig->n - 1, &error), &error);
}

static void check_same(const struct rig *rig)
{
	struct ram again;

	map_again(rig, &again);
	for (size_t i = 0; i < PAGES; i++)
		CHECK(memcmp(page(&rig->ram, i), page(&again, i), PAGE) == 0);
	ram_unmap(&again);
}

/* Pages come, change, become zeroes, are again what they were, and stay. */
static void test_chain(void)
{
	struct rig rig;

	rig_init(&rig);
	fill(&rig.ram, 0, 40, 1);
	fill(&rig.ram, 1000, 200, 2);
	CHECK(rig_keep(&rig) < 300 * PAGE);
	/* Nothing at all. */
	CHECK(rig_keep(&rig) <= 4 * PAGE);
	check_same(&rig);
	fill(&rig.ram, 3, 1, 3);	 /* changes */
	fill(&rig.ram, 1010, 5, 0);	 /* becomes zeroes */
	fill(&rig.ram, 1100, 40, 4);	 /* changes, as a mapping */
	fill(&rig.ram, PAGES - 1, 1, 5); /* comes */
	CHECK(rig_keep(&rig) <= (1 + 40 + 1 + 8) * PAGE);
	check_same(&rig);
	fill(&rig.ram, 3, 1, 1);    /* as it was */
	fill(&rig.ram, 1012, 1, 2); /* likewise */
	fill(&rig.ram, 1110, 3, 6); /* within the mapping */
	fill(&rig.ram, PAGES - 1, 1, 0);
	CHECK(rig_keep(&rig) <= (1 + 1 + 3 + 8) * PAGE);
	check_same(&rig);
	rig_done(&rig);
}

/* One that goes on from files is kept like any other. */
static void test_goes_on(void)
{
	struct rig rig;
	struct ram again;

	rig_init(&rig);
	fill(&rig.ram, 16, 64, 1);
	(void)rig_keep(&rig);
	fill(&rig.ram, 32, 16, 2);
	fill(&rig.ram, 50, 2, 3);
	(void)rig_keep(&rig);
	map_again(&rig, &again);
	ram_unmap(&rig.ram);
	rig.ram = again;
	fill(&rig.ram, 33, 1, 4);
	fill(&rig.ram, 51, 1, 0);
	CHECK(rig_keep(&rig) <= (1 + 4) * PAGE);
	check_same(&rig);
	/* And as a whole. */
	rig.n = 0;
	(void)rig_keep(&rig);
	check_same(&rig);
	rig_done(&rig);
}

static void test_many(void)
{
	struct rig rig;

	srand(7);
	for (unsigned round = 0; round < 8; round++) {
		rig_init(&rig);
		while (rig.n < CHAIN_MAX) {
			for (unsigned i = 0; i < 60; i++) {
				size_t first = (size_t)rand() % PAGES;
				size_t n = MIN((size_t)rand() % 40, PAGES - first);

				fill(&rig.ram, first, n, rand() % 4);
			}
			(void)rig_keep(&rig);
			check_same(&rig);
		}
		rig_done(&rig);
	}
}

/* Files that come from anywhere. */
static void test_bad(void)
{
	static const struct {
		off_t at; /* of a byte that is another; 0: none */
		off_t size;
		const char *message;
	} bad[] = {
		{ 0, SIZE, "does not have the changes of 8 MiB" },
		{ 0, SIZE + 16, "does not have the changes" },
		{ 0, SIZE + 16 + PAGES / 8 + 1, "does not have the changes" },
		{ SIZE, 0, "the checksum is wrong" },
		{ SIZE + 8, 0, "the checksum is wrong" },
		{ SIZE + 16 + PAGES / 8 - 1, 0, "the checksum is wrong" },
	};
	struct error *error = NULL;
	struct rig rig;
	struct stat st;
	int target = new_file();

	rig_init(&rig);
	fill(&rig.ram, 0, 20, 1);
	(void)rig_keep(&rig);
	fill(&rig.ram, 5, 1, 2);
	(void)rig_keep(&rig);
	CHECK(fstat(rig.fds[1], &st) == 0 && st.st_size == SIZE + 16 + PAGES / 8);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct guest_memory memory = { 0 };
		struct ram again;
		char byte, other;

		if (bad[i].size)
			CHECK(ftruncate(rig.fds[1], bad[i].size) == 0);
		if (bad[i].at) {
			CHECK(pread(rig.fds[1], &byte, 1, bad[i].at) == 1);
			other = (char)(byte ^ 0x10);
			CHECK(pwrite(rig.fds[1], &other, 1, bad[i].at) == 1);
		}
		CHECK_OK(ram_map_file(SIZE, 0, rig.fds[0], &memory, &again, &error), &error);
		CHECK_ERROR(ram_map_changes(&again, &rig.fds[1], 1, &error), &error,
			    bad[i].message);
		CHECK_ERROR(ram_save_changes(&rig.ram, rig.fds, 2, target, &error), &error,
			    bad[i].message);
		ram_unmap(&again);
		if (bad[i].at)
			CHECK(pwrite(rig.fds[1], &byte, 1, bad[i].at) == 1);
		(void)close(rig.fds[--rig.n]);
		(void)rig_keep(&rig);
	}
	CHECK(fstat(target, &st) == 0 && st.st_size == 0);
	/* The first of all is a whole one. */
	CHECK_ERROR(ram_save_changes(&rig.ram, &rig.fds[1], 1, target, &error), &error,
		    "is not 8 MiB of guest memory");
	CHECK(close(target) == 0);
	rig_done(&rig);
}

/* A base that does not say where it has data is none without any. */
static void test_unreadable(void)
{
	struct error *error = NULL;
	int target = new_file(), readable;
	struct rig rig;
	char path[64];

	rig_init(&rig);
	fill(&rig.ram, 0, 20, 1);
	(void)rig_keep(&rig);
	fill(&rig.ram, 0, 20, 0);
	readable = rig.fds[0];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", readable);
	rig.fds[0] = open(path, O_PATH | O_CLOEXEC);
	CHECK_ERROR(ram_save_changes(&rig.ram, rig.fds, 1, target, &error), &error,
		    "cannot keep what has changed in memory");
	CHECK(close(readable) == 0 && close(target) == 0);
	rig_done(&rig);
}

static size_t count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	size_t n = 0;
	int c;

	CHECK(maps);
	while ((c = getc(maps)) != EOF)
		n += c == '\n';
	(void)fclose(maps);
	return n;
}

static int new_part_file(uint64_t size)
{
	int fd = memfd_create("parts", MFD_CLOEXEC);

	CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	return fd;
}

/* Changes in every second chunk, which has become zeroes: a hole. */
static int new_changes(uint64_t size)
{
	const uint64_t n = size / RAM_CHUNK_SIZE;
	uint16_t *bits = xcalloc(n, sizeof(bits[0]));
	struct {
		char magic[8];
		uint64_t checksum;
	} head = { .magic = "changes" };
	int fd = new_part_file(size);

	for (uint64_t i = 0; i < n; i += 2)
		bits[i] = UINT16_MAX;
	head.magic[7] = '1';
	head.checksum = fnv1a(bits, n * sizeof(bits[0]));
	CHECK(pwrite(fd, &head, sizeof(head), (off_t)size) == sizeof(head));
	CHECK(pwrite(fd, bits, n * sizeof(bits[0]), (off_t)(size + sizeof(head))) ==
	      (ssize_t)(n * sizeof(bits[0])));
	free(bits);
	return fd;
}

/* Where each part were mapped, a large memory would need more mappings than a process may have. */
static void test_parts(void)
{
	const uint64_t n = RAM_PARTS_MAX + 1024, size = 2 * n * RAM_CHUNK_SIZE;
	const size_t n_before = count_mappings();
	struct guest_memory memory = { 0 };
	struct error *error = NULL;
	int whole = new_part_file(size), empty = new_part_file(size), changes = new_changes(size);
	struct ram ram;

	for (uint64_t i = 0; i < n; i++)
		CHECK(pwrite(whole, "old", 4, (off_t)(2 * i * RAM_CHUNK_SIZE)) == 4);
	CHECK_OK(ram_map_file(size, 0, whole, &memory, &ram, &error), &error);
	CHECK(count_mappings() - n_before <= 2 * RAM_PARTS_MAX + OTHERS_MAX);
	for (uint64_t i = 0; i < 2 * n; i++)
		CHECK_STRING((char *)page(&ram, i * 16), i % 2 ? "" : "old");
	CHECK_OK(ram_map_changes(&ram, &changes, 1, &error), &error);
	for (uint64_t i = 0; i < 2 * n; i += 2)
		CHECK_STRING((char *)page(&ram, i * 16), "");
	ram_unmap(&ram);
	memory = (struct guest_memory){ 0 };
	CHECK_OK(ram_map_file(size, 0, empty, &memory, &ram, &error), &error);
	CHECK_OK(ram_map_changes(&ram, &changes, 1, &error), &error);
	CHECK(count_mappings() - n_before <= 2 * RAM_PARTS_MAX + OTHERS_MAX);
	ram_unmap(&ram);
	CHECK(close(whole) == 0 && close(empty) == 0 && close(changes) == 0);
}

static const struct test_case cases[] = {
	{ "parts", test_parts }, { "chain", test_chain }, { "goes on", test_goes_on },
	{ "many", test_many },	 { "bad", test_bad },	  { "unreadable", test_unreadable },
};

TEST_MAIN(cases)
