/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's RAM: see ram.h.
 *
 * Under KVM private anonymous memory, not a memfd: only it gets huge pages on a stock
 * distribution (shmem_enabled is "never" there), and huge pages are what a boot
 * costs: one fault per 2 MiB on the host's side instead of 512.
 *
 * A file's data is mapped over such memory, and its holes are not: a hole that is mapped costs a
 * page of the page cache (of a tmpfs, for good) before the guest's own.
 */
#include "vmm/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "vmm/arch.h"

#define HUGE_PAGE (2ULL << 20)

/* Maps size bytes at an address that is a multiple of 2 MiB, so that guest
 * physical and host virtual huge pages coincide. */
static void *map_aligned(uint64_t size)
{
	uint64_t padded, lead, tail;
	uint8_t *at;

	if (checked_add(size, HUGE_PAGE, &padded)) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	at = mmap(NULL, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		  -1, 0);
	if (at == MAP_FAILED)
		return MAP_FAILED;
	lead = -(uintptr_t)at % HUGE_PAGE;
	tail = HUGE_PAGE - lead;
	if (lead > 0)
		(void)munmap(at, lead);
	if (tail > 0)
		(void)munmap(at + lead + size, tail);
	return at + lead;
}

/* Cuts the mapping, but for the room, into regions. */
static int add_regions(const struct ram *ram, struct guest_memory *memory, struct error **ret_error)
{
	struct arch_range ranges[ARCH_RAM_RANGES_MAX];
	size_t n_ranges = arch_ram_ranges(ram->fixed, ranges);
	uint64_t offset = 0;

	for (size_t i = 0; i < n_ranges; i++) {
		struct mem_region region = {
			.base = ranges[i].base,
			.size = ranges[i].size,
			.hva = (uint8_t *)ram->mapping + offset,
			.fd = -1,
		};

		if (mem_add_region(memory, &region, ret_error) < 0)
			return -1;
		offset += ranges[i].size;
	}
	return 0;
}

/* What is behind RAM of this size begins with a huge page, too. */
static uint64_t room_start_of(uint64_t size)
{
	return align_up(size, HUGE_PAGE);
}

/* Without the room, if the host does not give so many addresses (vm.overcommit_memory=2). */
static uint8_t *map_with_room(uint64_t size, uint64_t *room)
{
	uint8_t *mapping = MAP_FAILED;
	uint64_t all;

	if (*room > 0 && !checked_add(room_start_of(size), *room, &all))
		mapping = map_aligned(all);
	if (mapping != MAP_FAILED)
		return mapping;
	*room = 0;
	return map_aligned(size);
}

/* Of nothing but zeroes. */
static int map_anonymous(uint64_t size, uint64_t room, struct ram *ret_ram,
			 struct error **ret_error)
{
	uint8_t *mapping = map_with_room(size, &room);
	const uint64_t all = room > 0 ? room_start_of(size) + room : size;

	if (mapping == MAP_FAILED)
		return error_set_errno(ret_error, errno, "cannot map %llu MiB of guest memory",
				       (unsigned long long)size >> 20);
	/* All three are wishes: a kernel without the feature runs the guest too.
	 * A core file holds no guest memory; the name shows in /proc/PID/smaps. */
	(void)madvise(mapping, all, MADV_HUGEPAGE);
	(void)madvise(mapping, all, MADV_DONTDUMP);
	(void)prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, mapping, all, "guest-ram");
	*ret_ram = (struct ram){
		.mapping = mapping,
		.size = size,
		.fixed = size,
		.room_start = room_start_of(size),
		.room = room,
		.blocks = room > 0 ? mem_blocks_new(room) : NULL,
		.pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC),
	};
	return 0;
}

int ram_map(uint64_t size, uint64_t room, struct guest_memory *memory, struct ram *ret_ram,
	    struct error **ret_error)
{
	if (map_anonymous(size, room, ret_ram, ret_error) < 0)
		return -1;
	return add_regions(ret_ram, memory, ret_error);
}

/* A file is of the RAM, or of that and whole blocks behind it. */
static bool is_file_size(uint64_t size, uint64_t room, uint64_t file_size)
{
	const uint64_t start = room_start_of(size);

	return file_size == size || (file_size > start && file_size - start <= room &&
				     (file_size - start) % MEM_BLOCK_SIZE == 0);
}

bool ram_may_have(const struct ram *ram, uint64_t size)
{
	return is_file_size(ram->fixed, ram->room, size);
}

int ram_check_file(uint64_t size, uint64_t room, int fd, struct error **ret_error)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set_errno(ret_error, errno, "guest memory");
	if (!is_file_size(size, room, (uint64_t)st.st_size))
		return error_set(ret_error, EINVAL,
				 "a file of %lld bytes is not %llu MiB of guest memory",
				 (long long)st.st_size, (unsigned long long)size >> 20);
	return 0;
}

int ram_map_part(const struct ram *ram, int fd, uint64_t at, uint64_t size)
{
	uint8_t *bytes = (uint8_t *)ram->mapping + at;

	if (mmap(bytes, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd,
		 (off_t)at) == MAP_FAILED)
		return -1;
	(void)madvise(bytes, size, MADV_DONTDUMP);
	for (uint64_t i = at / RAM_CHUNK_SIZE; i * RAM_CHUNK_SIZE < at + size; i++)
		ram->from_file[i / 8] |= (uint8_t)(1U << i % 8);
	return 0;
}

/* The file's data over the anonymous memory; its holes stay that, unless there are too many. */
static int map_data(const struct ram *ram, int fd)
{
	off_t start = 0, end = 0;

	for (size_t n = 1; (start = lseek(fd, end, SEEK_DATA)) >= 0; n++) {
		end = n == RAM_PARTS_MAX ? (off_t)ram->size : lseek(fd, start, SEEK_HOLE);
		if (end <= start ||
		    ram_map_part(ram, fd, (uint64_t)start, (uint64_t)(end - start)) < 0)
			return -1;
	}
	return errno == ENXIO ? 0 : -1;
}

static uint64_t all_of(const struct ram *ram)
{
	return ram->room > 0 ? ram->room_start + ram->room : ram->size;
}

int ram_map_file(uint64_t size, uint64_t room, int fd, struct guest_memory *memory,
		 struct ram *ret_ram, struct error **ret_error)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set_errno(ret_error, errno, "guest memory");
	if (map_anonymous(size, room, ret_ram, ret_error) < 0 ||
	    add_regions(ret_ram, memory, ret_error) < 0)
		return -1;
	if (!ram_may_have(ret_ram, (uint64_t)st.st_size))
		return error_set(ret_error, ENOMEM, "no addresses for %llu MiB of guest memory",
				 (unsigned long long)st.st_size >> 20);
	ret_ram->size = (uint64_t)st.st_size;
	ret_ram->from_file = xcalloc(all_of(ret_ram) / RAM_CHUNK_SIZE / 8 + 1, 1);
	if (map_data(ret_ram, fd) < 0)
		return error_set_errno(ret_error, errno, "cannot map a file as guest memory");
	return 0;
}

/* ---- the room ---- */

int ram_add_room(const struct ram *ram, gpa_t base, struct guest_memory *memory,
		 struct error **ret_error)
{
	const struct mem_region region = {
		.base = base,
		.size = ram->room,
		.hva = (uint8_t *)ram->mapping + ram->room_start,
		.fd = -1,
		.blocks = ram->blocks,
	};

	return mem_add_region(memory, &region, ret_error);
}

void ram_come(struct ram *ram, uint64_t offset, uint64_t size)
{
	ram->size = MAX(ram->size, ram->room_start + offset + size);
}

/* What was mapped from a file becomes anonymous: dropped pages would be the file's again. */
static int forget_file(struct ram *ram, uint64_t at)
{
	uint8_t *bytes = (uint8_t *)ram->mapping + at;

	if (mmap(bytes, RAM_CHUNK_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		return -1;
	(void)madvise(bytes, RAM_CHUNK_SIZE, MADV_HUGEPAGE);
	(void)madvise(bytes, RAM_CHUNK_SIZE, MADV_DONTDUMP);
	ram->from_file[at / RAM_CHUNK_SIZE / 8] &= (uint8_t) ~(1U << at / RAM_CHUNK_SIZE % 8);
	return 0;
}

int ram_go(struct ram *ram, uint64_t offset, uint64_t size)
{
	const uint64_t start = ram->room_start + offset;

	for (uint64_t at = start; ram->from_file && at < start + size; at += RAM_CHUNK_SIZE)
		if (ram_is_from_file(ram, at) && forget_file(ram, at) < 0)
			return -1;
	return madvise((uint8_t *)ram->mapping + start, size, MADV_DONTNEED);
}

int ram_file_new(uint64_t size, int *ret_fd, struct error **ret_error)
{
	_cleanup_close_ int fd = memfd_create("guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return error_set_errno(ret_error, errno, "cannot make %llu MiB of guest memory",
				       (unsigned long long)size >> 20);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

void ram_unmap(struct ram *ram)
{
	if (!ram->mapping)
		return;
	(void)munmap(ram->mapping, all_of(ram));
	close_fdp(&ram->pagemap_fd);
	free(ram->from_file);
	free(ram->blocks);
	*ram = (struct ram){ 0 };
}
