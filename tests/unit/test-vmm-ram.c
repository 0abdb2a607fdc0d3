/* SPDX-License-Identifier: Apache-2.0 */
/* Room behind the guest's RAM (vmm/ram.h): blocks come, are kept in files, go, and are zeroes then.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "tests/unit/test.h"
#include "vmm/arch.h"
#include "vmm/ram-changes.h"

#define MIB (1ULL << 20)
#define SIZE (7 * MIB)	/* not of whole huge pages */
#define START (8 * MIB) /* so the room is behind that */
#define ROOM (64 * MEM_BLOCK_SIZE)
#define BLOCK MEM_BLOCK_SIZE
#define FILES_MAX 4

struct rig {
	struct guest_memory memory;
	struct ram ram;
	gpa_t base;
};

static int new_file(void)
{
	char path[] = "/var/tmp/test-vmm-ram.XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0 && unlink(path) == 0);
	return fd;
}

static void add_room(struct rig *rig)
{
	struct error *error = NULL;

	rig->base = arch_room_base(SIZE);
	CHECK_INT(rig->ram.room, ROOM);
	CHECK_OK(ram_add_room(&rig->ram, rig->base, &rig->memory, &error), &error);
}

static void rig_init(struct rig *rig)
{
	struct error *error = NULL;

	*rig = (struct rig){ 0 };
	CHECK_OK(ram_map(SIZE, ROOM, &rig->memory, &rig->ram, &error), &error);
	(void)madvise(rig->ram.mapping, START + ROOM, MADV_NOHUGEPAGE);
	add_room(rig);
}

/* As the device does. */
static void come(struct rig *rig, size_t block)
{
	ram_come(&rig->ram, block * BLOCK, BLOCK);
	mem_blocks_set(rig->ram.blocks, block, 1, true);
}

static void go(struct rig *rig, size_t block)
{
	mem_blocks_set(rig->ram.blocks, block, 1, false);
	CHECK(ram_go(&rig->ram, block * BLOCK, BLOCK) == 0);
}

static char *text_in(const struct rig *rig, size_t block)
{
	char *at = mem_at(&rig->memory, rig->base + block * BLOCK, BLOCK);

	CHECK(at == (char *)rig->ram.mapping + START + block * BLOCK);
	return at + 8 * RAM_PAGE_SIZE;
}

static off_t size_of(int fd)
{
	struct stat st;

	CHECK(fstat(fd, &st) == 0);
	return st.st_size;
}

static void test_comes_and_goes(void)
{
	struct rig rig;

	rig_init(&rig);
	CHECK_INT(rig.base, 4ULL << 30);
	CHECK_INT(rig.ram.size, SIZE);
	CHECK(mem_at(&rig.memory, SIZE - 1, 1) && !mem_at(&rig.memory, SIZE, 1));
	CHECK(!mem_at(&rig.memory, rig.base, 1));
	come(&rig, 2);
	CHECK_INT(rig.ram.size, START + 3 * BLOCK);
	CHECK(!mem_at(&rig.memory, rig.base + BLOCK, 1));
	CHECK_STRING(text_in(&rig, 2), "");
	(void)strcpy(text_in(&rig, 2), "there");
	go(&rig, 2);
	CHECK(!mem_at(&rig.memory, rig.base + 2 * BLOCK, 1));
	come(&rig, 2);
	CHECK_STRING(text_in(&rig, 2), "");
	ram_unmap(&rig.ram);
}

/* Its size, and where what comes later is to be. */
static void test_base(void)
{
	CHECK_INT(arch_room_base(3ULL << 30), 4ULL << 30);
	CHECK_INT(arch_room_base((3ULL << 30) + MIB), 6ULL << 30);
	CHECK_INT(arch_room_base(5ULL << 30), 6ULL << 30);
	CHECK_INT(arch_room_base(6ULL << 30), 8ULL << 30);
}

struct files {
	int fds[FILES_MAX];
	size_t n;
};

static void keep(struct files *files, const struct rig *rig)
{
	struct error *error = NULL;
	int fd = new_file();

	CHECK_OK(files->n == 0 ? ram_save(&rig->ram, fd, &error)
			       : ram_save_changes(&rig->ram, files->fds, files->n, fd, &error),
		 &error);
	files->fds[files->n++] = fd;
}

static void map_again(const struct files *files, struct rig *ret_rig)
{
	struct error *error = NULL;

	*ret_rig = (struct rig){ 0 };
	CHECK_OK(ram_check_file(SIZE, ROOM, files->fds[0], &error), &error);
	CHECK_OK(ram_map_file(SIZE, ROOM, files->fds[0], &ret_rig->memory, &ret_rig->ram, &error),
		 &error);
	CHECK_OK(ram_map_changes(&ret_rig->ram, files->fds + 1, files->n - 1, &error), &error);
	add_room(ret_rig);
}

static void files_done(struct files *files)
{
	while (files->n > 0)
		CHECK(close(files->fds[--files->n]) == 0);
}

/* What has come is in the file, and what goes in the machine that goes on is not the file's. */
static void test_kept(void)
{
	struct files files = { .n = 0 };
	struct rig rig, again;

	rig_init(&rig);
	come(&rig, 0);
	come(&rig, 3);
	(void)strcpy(text_in(&rig, 0), "first");
	(void)strcpy(text_in(&rig, 3), "last");
	keep(&files, &rig);
	CHECK_INT(size_of(files.fds[0]), START + 4 * BLOCK);
	map_again(&files, &again);
	CHECK_INT(again.ram.size, rig.ram.size);
	come(&again, 0);
	come(&again, 3);
	CHECK_STRING(text_in(&again, 0), "first");
	CHECK_STRING(text_in(&again, 3), "last");
	(void)strcpy(text_in(&again, 3), "changed");
	go(&again, 3);
	go(&again, 0);
	come(&again, 0);
	come(&again, 3);
	CHECK_STRING(text_in(&again, 0), "");
	CHECK_STRING(text_in(&again, 3), "");
	ram_unmap(&again.ram);
	ram_unmap(&rig.ram);
	files_done(&files);
}

/* A memory that grows between the files that it is kept in. */
static void test_changes(void)
{
	struct files files = { .n = 0 };
	struct rig rig, again;

	rig_init(&rig);
	(void)strcpy((char *)rig.ram.mapping + 4 * MIB, "old");
	keep(&files, &rig);
	CHECK_INT(size_of(files.fds[0]), SIZE);
	come(&rig, 1);
	(void)strcpy(text_in(&rig, 1), "new");
	keep(&files, &rig);
	come(&rig, 5);
	(void)strcpy(text_in(&rig, 5), "newer");
	go(&rig, 1);
	keep(&files, &rig);
	/* Nothing has changed; the memory is as large as it was. */
	keep(&files, &rig);
	map_again(&files, &again);
	CHECK_INT(again.ram.size, START + 6 * BLOCK);
	CHECK_STRING((char *)again.ram.mapping + 4 * MIB, "old");
	for (size_t i = 0; i < 6; i++) {
		come(&again, i);
		CHECK_STRING(text_in(&again, i), i == 5 ? "newer" : "");
	}
	ram_unmap(&again.ram);
	ram_unmap(&rig.ram);
	files_done(&files);
}

static void test_wrong_files(void)
{
	static const struct {
		uint64_t size, room;
	} wrong[] = {
		{ SIZE - 4096, ROOM },
		{ SIZE + 4096, ROOM },
		{ START, ROOM }, /* no block: the RAM alone is smaller */
		{ START + BLOCK + 4096, ROOM },
		{ START + ROOM + BLOCK, ROOM },
		{ START + BLOCK, 0 },
	};
	struct error *error = NULL;
	int fd = new_file();

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		CHECK(ftruncate(fd, (off_t)wrong[i].size) == 0);
		CHECK_ERROR(ram_check_file(SIZE, wrong[i].room, fd, &error), &error,
			    "is not 7 MiB of guest memory");
	}
	CHECK(close(fd) == 0);
}

static const struct test_case cases[] = {
	{ "comes and goes", test_comes_and_goes },
	{ "base", test_base },
	{ "kept", test_kept },
	{ "changes", test_changes },
	{ "wrong files", test_wrong_files },
};

TEST_MAIN(cases)
