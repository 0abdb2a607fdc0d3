/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pages that a start writes: see ram.h.
 *
 * A file of them is a head and as many stretches as it says, in ascending order.  The VMM that
 * wrote it has run a guest: what it says is believed only as far as it can do no harm.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "vmm/ram.h"

/* Linux, Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT_BIT 63
#define PAGEMAP_OF_FILE_BIT 61
#define PAGEMAP_ENTRIES (RAM_CHUNK_SIZE / RAM_PAGE_SIZE)
/* Pages that may be missing in any list. */
#define WRONG_MIN 64

struct stretch {
	uint32_t first, n; /* pages */
};

struct head {
	char magic[8];
	uint32_t n_stretches, n_pages;
};
static const char magic[8] = "written1";

struct written {
	struct head head;
	struct stretch stretches[RAM_WRITTEN_MAX];
};

/* ---- noting ---- */

static void add_page(struct written *written, uint32_t page)
{
	struct head *head = &written->head;
	struct stretch *last =
	    head->n_stretches > 0 ? &written->stretches[head->n_stretches - 1] : NULL;

	if (head->n_pages++ >= RAM_WRITTEN_MAX)
		return;
	if (last && last->first + last->n == page)
		last->n++;
	else
		written->stretches[head->n_stretches++] = (struct stretch){ page, 1 };
}

/* Of a file's page that was written, the mapping has a copy. */
static int add_chunk(const struct ram *ram, uint64_t at, struct written *written)
{
	uint64_t entries[PAGEMAP_ENTRIES];

	if (ram_read_pagemap(ram, at, entries, PAGEMAP_ENTRIES) < 0)
		return -1;
	for (size_t i = 0; i < PAGEMAP_ENTRIES; i++)
		if ((entries[i] >> PAGEMAP_PRESENT_BIT & 1) &&
		    !(entries[i] >> PAGEMAP_OF_FILE_BIT & 1))
			add_page(written, (uint32_t)(at / RAM_PAGE_SIZE + i));
	return 0;
}

/* Caller frees; NULL with errno. */
static struct written *find_written(const struct ram *ram)
{
	struct written *written = xcalloc(1, sizeof(*written));

	for (uint64_t at = 0; at + RAM_CHUNK_SIZE <= ram->size; at += RAM_CHUNK_SIZE)
		if (ram_is_from_file(ram, at) && add_chunk(ram, at, written) < 0) {
			free(written);
			return NULL;
		}
	return written;
}

ssize_t ram_count_written(const struct ram *ram)
{
	_cleanup_free_ struct written *written = find_written(ram);

	return written ? (ssize_t)written->head.n_pages : -1;
}

bool ram_written_is_wrong(size_t n_listed, size_t n_written)
{
	return n_written > n_listed + n_listed / 4 + WRONG_MIN;
}

int ram_note_written(const struct ram *ram, int fd, struct error **ret_error)
{
	_cleanup_free_ struct written *written = find_written(ram);
	size_t size;

	if (!written)
		return error_set_errno(ret_error, errno, "cannot read /proc/self/pagemap");
	if (written->head.n_pages > RAM_WRITTEN_MAX)
		written->head = (struct head){ 0 };
	(void)memcpy(written->head.magic, magic, sizeof(magic));
	size = sizeof(written->head) + written->head.n_stretches * sizeof(written->stretches[0]);
	if (write_all(fd, written, size) < 0)
		return error_set_errno(ret_error, errno,
				       "cannot note the pages that a start writes");
	return 0;
}

/* ---- bringing ---- */

static int check(const struct ram *ram, const struct written *written, size_t size,
		 struct error **ret_error)
{
	const uint64_t n_pages = ram->size / RAM_PAGE_SIZE;
	uint64_t end = 0, n = 0;

	if (size < sizeof(written->head) ||
	    memcmp(written->head.magic, magic, sizeof(magic)) != 0 ||
	    (size - sizeof(written->head)) / sizeof(written->stretches[0]) !=
		written->head.n_stretches ||
	    (size - sizeof(written->head)) % sizeof(written->stretches[0]) != 0)
		return error_set(ret_error, EBADMSG, "not a list of written pages");
	for (uint32_t i = 0; i < written->head.n_stretches; i++) {
		const struct stretch *stretch = &written->stretches[i];

		if (stretch->first < end || stretch->n == 0 ||
		    (uint64_t)stretch->first + stretch->n > n_pages)
			return error_set(ret_error, EBADMSG,
					 "stretch %u of the written pages is not within memory", i);
		end = (uint64_t)stretch->first + stretch->n;
		n += stretch->n;
	}
	if (n != written->head.n_pages || n > RAM_WRITTEN_MAX)
		return error_set(ret_error, EBADMSG, "%llu written pages, not %u",
				 (unsigned long long)n, written->head.n_pages);
	return 0;
}

int ram_bring_written(const struct ram *ram, int fd, size_t *ret_n, struct error **ret_error)
{
	_cleanup_free_ struct written *written = NULL;
	struct stat st;
	size_t size;

	if (fstat(fd, &st) == 0 && st.st_size > (off_t)sizeof(*written))
		return error_set(ret_error, EBADMSG, "a list of %lld bytes", (long long)st.st_size);
	if (read_file_fd(fd, "the pages that a start writes", sizeof(*written), (char **)&written,
			 &size, ret_error) < 0 ||
	    check(ram, written, size, ret_error) < 0)
		return -1;
	for (uint32_t i = 0; i < written->head.n_stretches; i++) {
		uint8_t *at =
		    (uint8_t *)ram->mapping + (uint64_t)written->stretches[i].first * RAM_PAGE_SIZE;

		if (madvise(at, (size_t)written->stretches[i].n * RAM_PAGE_SIZE,
			    MADV_POPULATE_WRITE) < 0)
			return error_set_errno(ret_error, errno, "cannot write to memory ahead");
	}
	*ret_n = written->head.n_pages;
	return 0;
}
