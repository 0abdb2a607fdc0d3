/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's RAM: one mapping, cut into the regions that the architecture's
 * memory map wants.
 *
 * Behind it there may be room for more (the memory device's, virtio/devices.h): addresses without
 * memory, where blocks come and go while the guest runs.  What is kept in a file (ram_save()) is
 * the RAM and as much of the room as has ever had a block: its size is what a machine that goes on
 * from the file begins with.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "virtio/memory.h"

#define RAM_PAGE_SIZE 4096u
/* Saved at once: smaller holes are not worth a system call. */
#define RAM_CHUNK_SIZE (64u << 10)

struct ram {
	void *mapping;	/* NULL: none */
	uint64_t size;	/* with the part of the room that has had blocks */
	uint64_t fixed; /* of it, what is always there */
	/* Where the room begins in the mapping, and its size; no blocks: there is none. */
	uint64_t room_start, room;
	struct mem_blocks *blocks;
	uint8_t *from_file; /* a bit for each chunk that has pages of a file; NULL: none has */
	int pagemap_fd;	    /* /proc/self/pagemap, which a jail has not; -1: none */
};

/* Maps size bytes (a multiple of 2 MiB is best) and adds them to memory; behind them room bytes
 * (a multiple of MEM_BLOCK_SIZE) for more, which are addresses without memory (ram_add_room()).
 * Without them, where the host does not give any. */
int ram_map(uint64_t size, uint64_t room, struct guest_memory *memory, struct ram *ret_ram,
	    struct error **ret_error);
/* As many parts of files are mapped by themselves, of a whole memory and of its changes
 * (ram-changes.h) each: such a part is two mappings of the process, which may have 65,530
 * (vm.max_map_count). */
#define RAM_PARTS_MAX 8192

/* The same of a file of such a memory (ram_check_file()): the memory is what is in it, page by
 * page until the guest writes there; the file does not change.  The descriptor is needed no more.
 */
int ram_map_file(uint64_t size, uint64_t room, int fd, struct guest_memory *memory,
		 struct ram *ret_ram, struct error **ret_error);
/* Another file over a part of such memory, whole pages at the same place in the file.  -1 with
 * errno. */
int ram_map_part(const struct ram *ram, int fd, uint64_t at, uint64_t size);
/* Is it such a file, of size bytes, or more if there is room?  A shorter one would end the process
 * where the guest touches what is missing. */
int ram_check_file(uint64_t size, uint64_t room, int fd, struct error **ret_error);
/* May the memory be, or have been, of this size? */
bool ram_may_have(const struct ram *ram, uint64_t size);
void ram_unmap(struct ram *ram);

/* The room as a region of memory (before devices are made), at base, with ram->blocks. */
int ram_add_room(const struct ram *ram, gpa_t base, struct guest_memory *memory,
		 struct error **ret_error);
/* A part of the room (offset and size in bytes) is about to have blocks; … */
void ram_come(struct ram *ram, uint64_t offset, uint64_t size);
/* … or has none any more: its memory is the host's again, and it reads as zeroes.  -1 with errno.
 */
int ram_go(struct ram *ram, uint64_t offset, uint64_t size);

/* Into an empty file: what was never touched, or holds zeroes, is a hole in it.  If the guest
 * writes meanwhile, the file is only good as a past (ram-changes.h). */
int ram_save(const struct ram *ram, int target_fd, struct error **ret_error);
bool ram_is_zero(const uint8_t *page);
/* Does the chunk have pages of a file, which are there before anybody touches them? */
bool ram_is_from_file(const struct ram *ram, uint64_t at);

/* Calls the function for each chunk, in order; bytes is NULL where nobody has touched it and it is
 * no file's: there are zeroes.  Ends with the first that returns -1 with errno. */
typedef int ram_chunk_fn(void *data, uint64_t at, const uint8_t *bytes);
int ram_for_each_chunk(const struct ram *ram, ram_chunk_fn *function, void *data);

/* The entries of /proc/self/pagemap (Linux, Documentation/admin-guide/mm/pagemap.rst) for the n
 * pages from the offset at on; without a pagemap, as if all had been touched and were a file's.  -1
 * with errno. */
int ram_read_pagemap(const struct ram *ram, uint64_t at, uint64_t *ret_entries, size_t n);

/* Notes in an empty file which pages of a template's (ram_map_file()) the guest has written so far:
 * what a start writes, the next one does too.  Nothing is noted of more than RAM_WRITTEN_MAX pages.
 */
#define RAM_WRITTEN_MAX 8192u
int ram_note_written(const struct ram *ram, int fd, struct error **ret_error);
/* How many that is by now. -1 with errno. */
ssize_t ram_count_written(const struct ram *ram);
/* Is a list of n_listed pages of no use any more to starts that write n_written, those among them?
 * Each page that is missing costs the guest an exit, and some differ with each start. */
bool ram_written_is_wrong(size_t n_listed, size_t n_written);
/* Takes private copies of the pages that such a file names, all at once: the guest does not leave
 * for each of them.  *ret_n: how many.  It may fail half way; then the guest takes the rest by
 * itself.  EBADMSG: the file is none of these, or of another machine. */
int ram_bring_written(const struct ram *ram, int fd, size_t *ret_n, struct error **ret_error);

/* RAM for a guest in another process: a file of this size, all zeroes, that keeps
 * it. */
int ram_file_new(uint64_t size, int *ret_fd, struct error **ret_error);
