/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the store share: see store.h. */
#pragma once

#include "rootfs/image/cache.h"
#include "rootfs/image/store.h"

#define STORE_RECORD_MAX (64u << 10)

struct image_store {
	char *path;
	int fd;
	int blobs, layers, names, holds; /* directories */
	int lock;			 /* -1: not shared */
};

/* The lock file, open and locked; -1 with errno. */
int store_lock(const struct image_store *store, int operation);
/* Writes a small file in a directory of the store, synced, in place of what is there. */
int store_write(const struct image_store *store, int directory, const char *name, const char *text,
		size_t size, struct error **ret_error);
/* A stream over one of the store's directories; NULL: an error. */
DIR *store_list(const struct image_store *store, int directory, struct error **ret_error);
/* The file name of a layer's image; caller frees. */
char *store_layer_name(const char *diff_id);

/* A record of names/ or holds/. */
struct store_record {
	char *name; /* or the container's directory */
	char *manifest, *index;
	uint64_t time;
};
void store_record_done(struct store_record *record);
/* What was to be read is gone, or not what we write: it will be no better another time. */
bool store_is_damage(const struct error *error);
/* Calls function for each record of a directory; damaged ones are warned of and left out.
 * must_read: it fails for others that cannot be read, which are left out else, too. */
typedef int (*store_record_fn)(void *data, const char *file, const struct store_record *record,
			       struct error **ret_error);
int store_each(struct image_store *store, int directory, bool must_read, store_record_fn function,
	       void *data, struct error **ret_error);
/* The record's file name in its directory. */
int store_record_file(const char *name, char ret_file[DIGEST_SIZE], struct error **ret_error);
int store_read_record(int directory, const char *file, struct store_record *ret_record,
		      struct error **ret_error);
int store_write_record(struct image_store *store, int directory, const struct store_record *record,
		       struct error **ret_error);
/* A container's directory is there no more. */
bool store_hold_over(const struct store_record *hold);
