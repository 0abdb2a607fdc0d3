/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's RAM: one mapping, cut into the regions that the architecture's
 * memory map wants.
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
	void *mapping; /* NULL: none */
	uint64_t size;
	uint8_t *from_file; /* a bit for each chunk that has pages of a file; NULL: none has */
	int pagemap_fd;	    /* /proc/self/pagemap, which a jail has not; -1: none */
};

/* Maps size bytes (a multiple of 2 MiB is best) and adds them to memory. */
int ram_map(uint64_t size, struct guest_memory *memory, struct ram *ret_ram,
	    struct error **ret_error);
/* As many parts of files are mapped by themselves, of a whole memory and of its changes
 * (ram-changes.h) each: such a part is two mappings of the process, which may have 65,530
 * (vm.max_map_count). */
#define RAM_PARTS_MAX 8192

/* The same of a file of exactly that size (ram_check_file()): the memory is what is in it, page by
 * page until the guest writes there; the file does not change.  The descriptor is needed no more.
 */
int ram_map_file(uint64_t size, int fd, struct guest_memory *memory, struct ram *ret_ram,
		 struct error **ret_error);
/* Another file over a part of such memory, whole pages at the same place in the file.  -1 with
 * errno. */
int ram_map_part(const struct ram *ram, int fd, uint64_t at, uint64_t size);
/* Is it such a file?  A shorter one would end the process where the guest touches what is
 * missing. */
int ram_check_file(uint64_t size, int fd, struct error **ret_error);
void ram_unmap(struct ram *ram);

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
