/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs, at once or in ranges: see blob.h. */
#include "rootfs/registry/blob.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "rootfs/registry/registry-parts.h"

#define CHUNK 65536

struct range {
	struct fetch *fetch;
	uint64_t from, to;
	bool runs; /* counted in the registry's n_ranges */
};

struct blob {
	struct registry *registry;
	struct blob_setup setup; /* its digest is our own */
	char digest[DIGEST_SIZE];
	enum fetch_state state;
	struct error *error;
	struct digest *hash;
	uint64_t given;	     /* hashed, and gone to the sink; in whole, on its way to it */
	struct fetch *whole; /* NULL: it comes in ranges */
	int file;
	struct range ranges[BLOB_RANGES]; /* each in its place: that of its number in the blob */
	uint64_t first, next;		  /* numbers: of the one that gives, and of one to come */
	bool gives_ranges;		  /* the registry has shown it */
	bool is_full;			  /* the sink */
	char *place;			  /* of the ranges, if not the registry's own */
};

static void fail(struct blob *blob, struct error *error)
{
	blob->state = FETCH_FAILED;
	if (!blob->error)
		blob->error = error;
	else
		error_free(error);
}

static void check_digest(struct blob *blob)
{
	char got[DIGEST_SIZE];

	if (digest_end(TAKE_PTR(blob->hash), got, &blob->error) < 0) {
		blob->state = FETCH_FAILED;
	} else if (strcmp(got, blob->digest) != 0) {
		(void)error_set(&blob->error, EBADMSG, "%s: the received data has the digest %s",
				blob->digest, got);
		blob->state = FETCH_FAILED;
	} else {
		blob->state = FETCH_DONE;
	}
}

static int hash_and_copy(struct blob *blob, const uint8_t *bytes, size_t size,
			 struct error **ret_error)
{
	if (digest_add(blob->hash, bytes, size, ret_error) < 0)
		return -1;
	if (blob->setup.copy_fd >= 0 && write_all(blob->setup.copy_fd, bytes, size) < 0)
		return error_set_errno(ret_error, errno, "cannot write it to the image store");
	blob->given += size;
	return 0;
}

/* ---- by one connection ---- */

static int take_in_order(void *data, uint64_t at, const uint8_t **bytes, size_t *size,
			 struct error **ret_error)
{
	(void)at;
	return hash_and_copy(data, *bytes, *size, ret_error);
}

static void start_whole(struct blob *blob)
{
	const struct fetch_part part = { .digest = blob->digest,
					 .from = blob->given,
					 .to = blob->setup.size,
					 .take = take_in_order,
					 .data = blob,
					 .sink_fd = blob->setup.sink_fd };

	blob->whole = fetch_start(blob->registry, &part);
}

static void go_on_whole(struct blob *blob)
{
	const enum fetch_state state = fetch_go_on(blob->whole);

	if (state == FETCH_FAILED)
		fail(blob, fetch_take_error(blob->whole));
	else if (state == FETCH_DONE)
		check_digest(blob);
}

/* ---- in ranges ---- */

static struct range *range_of(struct blob *blob, uint64_t number)
{
	return &blob->ranges[number % BLOB_RANGES];
}

/* Of a byte of the blob, in the file. */
static off_t place_of(const struct blob *blob, uint64_t at)
{
	return (off_t)(at % (BLOB_RANGES * blob->setup.range_size));
}

static int take_early(void *data, uint64_t at, const uint8_t **bytes, size_t *size,
		      struct error **ret_error)
{
	const struct blob *blob = data;

	while (*size > 0) {
		const ssize_t n = pwrite(blob->file, *bytes, *size, place_of(blob, at));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(ret_error, errno,
					       "cannot write it to the image store");
		at += (uint64_t)n;
		*bytes += n;
		*size -= (size_t)n;
	}
	return 0;
}

/* A range has come, or comes: the next ones are asked for at the same place. */
static void note_place(struct blob *blob, const struct range *range)
{
	blob->gives_ranges = true;
	free(blob->place);
	blob->place = xstrdup(fetch_place(range->fetch));
}

static void range_stop(struct blob *blob, struct range *range)
{
	blob->registry->n_ranges -= range->runs;
	range->runs = false;
}

static void range_end(struct blob *blob, struct range *range)
{
	range_stop(blob, range);
	fetch_free(TAKE_PTR(range->fetch));
}

static void end_ranges(struct blob *blob)
{
	for (size_t i = 0; i < BLOB_RANGES; i++)
		range_end(blob, &blob->ranges[i]);
	close_fdp(&blob->file);
}

/* The first one is always under way, so that each blob comes at last. */
static bool may_start(const struct blob *blob)
{
	if (blob->next * blob->setup.range_size >= blob->setup.size)
		return false;
	return blob->next == blob->first ||
	       (blob->gives_ranges && blob->next < blob->first + BLOB_RANGES &&
		blob->registry->n_ranges < blob->registry->ranges_max);
}

static void start_range(struct blob *blob)
{
	struct range *range = range_of(blob, blob->next);
	const uint64_t from = blob->next * blob->setup.range_size;
	const uint64_t left = blob->setup.size - from;
	const uint64_t size = left < blob->setup.range_size ? left : blob->setup.range_size;
	const struct fetch_part part = { .digest = blob->digest,
					 .from = from,
					 .to = from + size,
					 .is_range = true,
					 .take = take_early,
					 .data = blob,
					 .sink_fd = -1,
					 .place = blob->place };

	range->from = from;
	range->to = from + size;
	range->runs = true;
	range->fetch = fetch_start(blob->registry, &part);
	blob->registry->n_ranges++;
	blob->next++;
}

/* What the sink takes of it; negative: an error, in blob->error. */
static ssize_t give(struct blob *blob, const uint8_t *bytes, size_t size)
{
	ssize_t n = (ssize_t)size;

	if (blob->setup.sink_fd >= 0) {
		do
			n = write(blob->setup.sink_fd, bytes, size);
		while (n < 0 && errno == EINTR);
		blob->is_full = n < 0 && errno == EAGAIN;
		if (blob->is_full)
			return 0;
		if (n < 0)
			return error_set(&blob->error, EPIPE, "%s: what came was not taken",
					 blob->digest);
	}
	return hash_and_copy(blob, bytes, (size_t)n, &blob->error) < 0 ? -1 : n;
}

/* All that the range has and the sink takes. */
static int give_range(struct blob *blob, const struct range *range, uint8_t *chunk)
{
	const uint64_t end = fetch_position(range->fetch);

	while (blob->given < end && !blob->is_full) {
		const uint64_t left = end - blob->given;
		const ssize_t n = pread(blob->file, chunk, left < CHUNK ? left : CHUNK,
					place_of(blob, blob->given));

		if (n <= 0)
			return error_set_errno(&blob->error, n < 0 ? errno : EIO,
					       "cannot read %s in the image store", blob->digest);
		if (give(blob, chunk, (size_t)n) < 0)
			return -1;
	}
	return 0;
}

static void give_all(struct blob *blob)
{
	_cleanup_free_ uint8_t *chunk = xmalloc(CHUNK);

	blob->is_full = false;
	while (blob->first < blob->next && !blob->is_full) {
		struct range *range = range_of(blob, blob->first);

		if (give_range(blob, range, chunk) < 0) {
			blob->state = FETCH_FAILED;
			return;
		}
		if (blob->given < range->to || range->runs)
			break;
		range_end(blob, range);
		blob->first++;
	}
	if (blob->given == blob->setup.size)
		check_digest(blob);
}

static void give_up_ranges(struct blob *blob, struct error *error)
{
	log_debug("%s: %s: by one connection from now on", blob->digest, error->message);
	error_free(error);
	blob->registry->has_no_ranges = true;
	end_ranges(blob);
	blob->is_full = false;
	start_whole(blob);
}

static void go_on_ranges(struct blob *blob)
{
	for (uint64_t number = blob->first; number < blob->next; number++) {
		struct range *range = range_of(blob, number);
		const enum fetch_state state = fetch_go_on(range->fetch);
		struct error *error;

		if (state == FETCH_DONE ||
		    (fetch_position(range->fetch) > range->from && !blob->gives_ranges))
			note_place(blob, range);
		if (state != FETCH_RUNS)
			range_stop(blob, range);
		if (state != FETCH_FAILED)
			continue;
		error = fetch_take_error(range->fetch);
		if (error->code == ERANGE)
			give_up_ranges(blob, error);
		else
			fail(blob, error);
		return;
	}
	give_all(blob);
	while (blob->state == FETCH_RUNS && may_start(blob))
		start_range(blob);
}

/* ---- the whole ---- */

struct blob *blob_start(struct registry *registry, const struct blob_setup *setup)
{
	struct blob *blob = xcalloc(1, sizeof(*blob));

	blob->registry = registry;
	blob->setup = *setup;
	(void)strcpy(blob->digest, setup->digest);
	blob->setup.digest = blob->digest;
	if (!setup->range_size)
		blob->setup.range_size = BLOB_RANGE_SIZE;
	blob->file = -1;
	if (digest_begin(&blob->hash, &blob->error) < 0) {
		blob->state = FETCH_FAILED;
		return blob;
	}
	/* (Where there can be no file, one connection will do.) */
	if (setup->directory && setup->size > blob->setup.range_size && !registry->has_no_ranges)
		blob->file = open_unnamed_file(setup->directory);
	if (blob->file >= 0)
		start_range(blob);
	else
		start_whole(blob);
	return blob;
}

enum fetch_state blob_go_on(struct blob *blob)
{
	if (blob->state == FETCH_RUNS && blob->whole)
		go_on_whole(blob);
	else if (blob->state == FETCH_RUNS)
		go_on_ranges(blob);
	return blob->state;
}

uint64_t blob_received(const struct blob *blob)
{
	uint64_t received = blob->given;

	for (size_t i = 0; i < BLOB_RANGES; i++) {
		const struct range *range = &blob->ranges[i];

		if (range->fetch)
			received += fetch_position(range->fetch) -
				    (blob->given > range->from ? blob->given : range->from);
	}
	return received;
}

bool blob_waits_for_sink(const struct blob *blob)
{
	return blob->is_full;
}

struct error *blob_take_error(struct blob *blob)
{
	return TAKE_PTR(blob->error);
}

void blob_free(struct blob *blob)
{
	if (!blob)
		return;
	end_ranges(blob);
	fetch_free(blob->whole);
	digest_free(blob->hash);
	error_free(blob->error);
	free(blob->place);
	free(blob);
}

int registry_blob(struct registry *registry, const char *digest, uint64_t size, char **ret_bytes,
		  struct error **ret_error)
{
	_cleanup_close_ int file = memfd_create("blob", MFD_CLOEXEC);
	const struct blob_setup setup = {
		.digest = digest, .size = size, .sink_fd = -1, .copy_fd = file
	};
	_cleanup_(blob_freep) struct blob *blob = NULL;

	if (file < 0)
		return error_set_errno(ret_error, errno, "cannot make a file in memory");
	blob = blob_start(registry, &setup);
	while (blob_go_on(blob) == FETCH_RUNS)
		http_step(registry->http, NULL, 0, 100);
	if (blob->state == FETCH_FAILED) {
		if (ret_error)
			*ret_error = blob_take_error(blob);
		return -1;
	}
	if (lseek(file, 0, SEEK_SET) < 0)
		return error_set_errno(ret_error, errno, "cannot read a file in memory");
	return read_file_fd(file, digest, (size_t)size, ret_bytes, NULL, ret_error);
}
