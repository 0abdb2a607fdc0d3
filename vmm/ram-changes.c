/* SPDX-License-Identifier: Apache-2.0 */
/* What has changed in a memory: see ram-changes.h. */
#include "vmm/ram-changes.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/fnv.h"
#include "base/io.h"

#define CHUNK_PAGES (RAM_CHUNK_SIZE / RAM_PAGE_SIZE)

static const char magic[8] = "changes1";

struct head {
	char magic[8];
	uint64_t checksum; /* of the bits */
};

/* For each chunk, a bit for each of its pages. */
typedef uint16_t chunk_bits;
_Static_assert(CHUNK_PAGES == 16, "a chunk has as many pages as its bits");

static size_t bits_size(uint64_t memory)
{
	return (size_t)(memory / RAM_CHUNK_SIZE * sizeof(chunk_bits));
}

/* The next pages of a chunk that its bits have, from page *i on; false: there are none. */
static bool next_run(chunk_bits bits, unsigned *i, unsigned *ret_n)
{
	unsigned end;

	while (*i < CHUNK_PAGES && !(bits >> *i & 1))
		(*i)++;
	for (end = *i; end < CHUNK_PAGES && bits >> end & 1; end++)
		;
	*ret_n = end - *i;
	return *ret_n > 0;
}

/* ---- a file of changes ---- */

struct changes {
	int fd;		 /* the caller's */
	uint64_t memory; /* its size by then */
	chunk_bits *bits;
};

/* Of a chunk that was not there yet nothing had changed. */
static chunk_bits bits_at(const struct changes *changes, uint64_t at)
{
	return at < changes->memory ? changes->bits[at / RAM_CHUNK_SIZE] : 0;
}

/* How much memory a file of this size has the changes of; 0: of none. */
static uint64_t memory_of(uint64_t file_size)
{
	const uint64_t each = RAM_CHUNK_SIZE + sizeof(chunk_bits);

	if (file_size < sizeof(struct head) || (file_size - sizeof(struct head)) % each != 0)
		return 0;
	return (file_size - sizeof(struct head)) / each * RAM_CHUNK_SIZE;
}

static int changes_open(const struct ram *ram, int fd, struct changes *ret_changes,
			struct error **ret_error)
{
	_cleanup_free_ chunk_bits *bits = NULL;
	struct head head;
	uint64_t memory;
	struct stat st;
	size_t size;

	if (fstat(fd, &st) < 0)
		return error_set_errno(ret_error, errno, "changes of the guest's memory");
	memory = memory_of((uint64_t)st.st_size);
	if (!ram_may_have(ram, memory))
		return error_set(
		    ret_error, EINVAL,
		    "a file of %lld bytes does not have the changes of %llu MiB of guest "
		    "memory",
		    (long long)st.st_size, (unsigned long long)ram->size >> 20);
	size = bits_size(memory);
	bits = xmalloc(size);
	if (pread(fd, &head, sizeof(head), (off_t)memory) != (ssize_t)sizeof(head) ||
	    pread(fd, bits, size, (off_t)(memory + sizeof(head))) != (ssize_t)size)
		return error_set_errno(ret_error, errno,
				       "cannot read changes of the guest's memory");
	if (memcmp(head.magic, magic, sizeof(magic)) != 0 || head.checksum != fnv1a(bits, size))
		return error_set(ret_error, EINVAL,
				 "the changes of the guest's memory were altered: the checksum is "
				 "wrong");
	*ret_changes = (struct changes){ .fd = fd, .memory = memory, .bits = TAKE_PTR(bits) };
	return 0;
}

static int changes_end(uint64_t memory, int fd, const chunk_bits *bits)
{
	const size_t size = bits_size(memory);
	struct head head = { .checksum = fnv1a(bits, size) };

	(void)memcpy(head.magic, magic, sizeof(magic));
	return lseek(fd, (off_t)memory, SEEK_SET) < 0 || write_all(fd, &head, sizeof(head)) < 0 ||
		       write_all(fd, bits, size) < 0
		   ? -1
		   : 0;
}

/* ---- mapping ---- */

/* Where it is many pages, they stay the file's until the guest writes to them; a mapping for each
 * few would be too many.  *parts: how many may be mapped still. */
static int map_run(const struct ram *ram, const struct changes *changes, uint64_t at, uint64_t size,
		   unsigned *parts)
{
	uint8_t *bytes = (uint8_t *)ram->mapping + at;
	ssize_t n;

	if (size >= RAM_CHUNK_SIZE && *parts > 0) {
		--*parts;
		return ram_map_part(ram, changes->fd, at, size);
	}
	while (size > 0) {
		n = pread(changes->fd, bytes, (size_t)size, (off_t)at);
		if (n <= 0) {
			errno = n == 0 ? EIO : errno;
			return -1;
		}
		bytes += n;
		at += (uint64_t)n;
		size -= (uint64_t)n;
	}
	return 0;
}

/* Pages of one run may lie in several chunks. */
static int map_changed(const struct ram *ram, const struct changes *changes, unsigned *parts)
{
	uint64_t start = 0, end = 0;

	for (uint64_t at = 0; at < changes->memory; at += RAM_CHUNK_SIZE) {
		const chunk_bits bits = bits_at(changes, at);
		unsigned n;

		for (unsigned i = 0; next_run(bits, &i, &n); i += n) {
			const uint64_t first = at + (uint64_t)i * RAM_PAGE_SIZE;

			if (first != end) {
				if (end > start &&
				    map_run(ram, changes, start, end - start, parts) < 0)
					return -1;
				start = first;
			}
			end = first + (uint64_t)n * RAM_PAGE_SIZE;
		}
	}
	return end > start ? map_run(ram, changes, start, end - start, parts) : 0;
}

/* What a newer file has is not taken from the older ones. */
static void hide(struct changes *older, const struct changes *newer)
{
	for (uint64_t at = 0; at < older->memory; at += RAM_CHUNK_SIZE)
		older->bits[at / RAM_CHUNK_SIZE] &= (chunk_bits)~bits_at(newer, at);
}

static void free_all(struct changes *changes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(changes[i].bits);
	free(changes);
}

/* *ret_changes: free_all(). */
static int open_all(const struct ram *ram, const int *fds, size_t n, struct changes **ret_changes,
		    struct error **ret_error)
{
	struct changes *changes = xcalloc(n + 1, sizeof(*changes));

	for (size_t i = 0; i < n; i++)
		if (changes_open(ram, fds[i], &changes[i], ret_error) < 0) {
			free_all(changes, i);
			return -1;
		}
	*ret_changes = changes;
	return 0;
}

int ram_map_changes(struct ram *ram, const int *fds, size_t n, struct error **ret_error)
{
	struct changes *changes = NULL;
	unsigned parts = RAM_PARTS_MAX;
	int r = 0;

	if (open_all(ram, fds, n, &changes, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		ram->size = MAX(ram->size, changes[i].memory);
		for (size_t newer = i + 1; newer < n; newer++)
			hide(&changes[i], &changes[newer]);
	}
	for (size_t i = 0; i < n && r == 0; i++)
		r = map_changed(ram, &changes[i], &parts);
	if (r < 0)
		(void)error_set_errno(ret_error, errno, "cannot map changes as guest memory");
	free_all(changes, n);
	return r;
}

/* ---- comparing ---- */

struct comparison {
	int base_fd;
	uint64_t data, data_end; /* of the base, the data around or behind the chunk */
	struct changes *changes; /* since the base */
	size_t n_changes;
	uint8_t past[RAM_CHUNK_SIZE]; /* the chunk as it was */
	int target_fd;
	chunk_bits *changed;
};

/* Chunks come in order.  -1 with errno. */
static int find_in_base(struct comparison *comparison, uint64_t at, bool *ret_any)
{
	off_t start, end;

	if (at >= comparison->data_end) {
		start = lseek(comparison->base_fd, (off_t)at, SEEK_DATA);
		if (start < 0 && errno != ENXIO)
			return -1;
		end = start < 0 ? 0 : lseek(comparison->base_fd, start, SEEK_HOLE);
		if (end < 0)
			return -1;
		/* ENXIO: no more of it. */
		comparison->data = start < 0 ? UINT64_MAX : (uint64_t)start;
		comparison->data_end = start < 0 ? UINT64_MAX : (uint64_t)end;
	}
	*ret_any = comparison->data < at + RAM_CHUNK_SIZE;
	return 0;
}

static int read_pages(int fd, uint64_t at, uint8_t *bytes, size_t n)
{
	const size_t size = n * RAM_PAGE_SIZE;
	const ssize_t got = pread(fd, bytes, size, (off_t)at);

	if (got >= 0 && got != (ssize_t)size)
		errno = EIO;
	return got == (ssize_t)size ? 0 : -1;
}

/* *ret_bytes: NULL where it was zeroes. */
static int read_past(struct comparison *comparison, uint64_t at, const uint8_t **ret_bytes)
{
	uint8_t *past = comparison->past;
	bool any;

	if (find_in_base(comparison, at, &any) < 0)
		return -1;
	if (any && read_pages(comparison->base_fd, at, past, CHUNK_PAGES) < 0)
		return -1;
	for (size_t j = 0; j < comparison->n_changes; j++) {
		const struct changes *changes = &comparison->changes[j];
		const chunk_bits bits = bits_at(changes, at);
		unsigned n;

		if (bits && !any)
			(void)memset(past, 0, RAM_CHUNK_SIZE);
		any = any || bits;
		for (unsigned i = 0; next_run(bits, &i, &n); i += n)
			if (read_pages(changes->fd, at + (uint64_t)i * RAM_PAGE_SIZE,
				       past + (size_t)i * RAM_PAGE_SIZE, n) < 0)
				return -1;
	}
	*ret_bytes = any ? past : NULL;
	return 0;
}

static bool differs(const uint8_t *page, const uint8_t *past)
{
	if (!page || !past)
		return (page && !ram_is_zero(page)) || (past && !ram_is_zero(past));
	return memcmp(page, past, RAM_PAGE_SIZE) != 0;
}

static const uint8_t *page_of(const uint8_t *chunk, unsigned i)
{
	return chunk ? chunk + (size_t)i * RAM_PAGE_SIZE : NULL;
}

static int compare_chunk(void *data, uint64_t at, const uint8_t *bytes)
{
	struct comparison *comparison = data;
	chunk_bits *changed = &comparison->changed[at / RAM_CHUNK_SIZE];
	const uint8_t *past = NULL;
	unsigned n;

	if (read_past(comparison, at, &past) < 0)
		return -1;
	for (unsigned i = 0; i < CHUNK_PAGES; i++)
		if (differs(page_of(bytes, i), page_of(past, i)))
			*changed |= (chunk_bits)(1U << i);
	for (unsigned i = 0; bytes && next_run(*changed, &i, &n); i += n)
		if (lseek(comparison->target_fd, (off_t)(at + (uint64_t)i * RAM_PAGE_SIZE),
			  SEEK_SET) < 0 ||
		    write_all(comparison->target_fd, page_of(bytes, i), (size_t)n * RAM_PAGE_SIZE) <
			0)
			return -1;
	return 0;
}

int ram_save_changes(const struct ram *ram, const int *past, size_t n, int target_fd,
		     struct error **ret_error)
{
	_cleanup_free_ struct comparison *comparison = xcalloc(1, sizeof(*comparison));
	_cleanup_free_ chunk_bits *changed = xcalloc(1, bits_size(ram->size));
	int r;

	if (ram_check_file(ram->fixed, ram->room, past[0], ret_error) < 0 ||
	    open_all(ram, past + 1, n - 1, &comparison->changes, ret_error) < 0)
		return -1;
	comparison->base_fd = past[0];
	comparison->n_changes = n - 1;
	comparison->target_fd = target_fd;
	comparison->changed = changed;
	r = ftruncate(target_fd, (off_t)ram->size);
	if (r == 0)
		r = ram_for_each_chunk(ram, compare_chunk, comparison);
	if (r == 0)
		r = changes_end(ram->size, target_fd, changed);
	if (r < 0)
		(void)error_set_errno(ret_error, errno, "cannot keep what has changed in memory");
	free_all(comparison->changes, comparison->n_changes);
	return r;
}
