/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blob of a registry: its bytes in order, hashed, and compared with its digest.
 *
 * A large one comes in ranges, several at a time, if the registry gives ranges (206).  What comes
 * early waits in a file, in a place of it for each range that is under way:
 *
 *   range 2 ─► file ─┐
 *   range 3 ─► file ─┼─► hash ─► sink    the first range of those under way gives its bytes as
 *   range 4 ─► file ─┘                   they come; when it has given all, its place is free
 *
 * So nothing is kept in memory, and a sink that is full holds the ranges back.  The first range
 * alone shows whether there are ranges.  A registry that sends something else than the range it was
 * asked for is asked for all that is missing, by one connection, and for no range any more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "rootfs/registry/fetch.h"

#define BLOB_RANGE_SIZE (8ULL << 20)
#define BLOB_RANGES 4 /* of one blob at a time */

struct blob;

struct blob_setup {
	const char *digest;
	uint64_t size;
	int sink_fd; /* a pipe that does not block; -1: nowhere */
	int copy_fd; /* a file; -1: none */
	/* Where a file without a name may be: then it comes in ranges, if it is large. NULL: not */
	const char *directory;
	uint64_t range_size; /* 0: BLOB_RANGE_SIZE */
};
struct blob *blob_start(struct registry *registry, const struct blob_setup *setup);
/* To be called after each http_step(); once it does not run any more, that stays so. */
enum fetch_state blob_go_on(struct blob *blob);
/* What is here, in order or not. */
uint64_t blob_received(const struct blob *blob);
/* It has bytes for its sink, which is full: to be polled. */
bool blob_waits_for_sink(const struct blob *blob);
/* Why it has failed; the caller's. */
struct error *blob_take_error(struct blob *blob);
void blob_free(struct blob *blob);
DEFINE_CLEANUP(struct blob, blob_free)

/* A small one into memory, with a NUL behind it. Blocks. */
int registry_blob(struct registry *registry, const char *digest, uint64_t size, char **ret_bytes,
		  struct error **ret_error);
