/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store of images: what was pulled or loaded, and what containers use of it.
 *
 *   STORE/blobs/HEX             manifests, indexes, configurations; layers as they came, if kept
 *   STORE/layers/HEX.squashfs   a layer's image, by its diff-id
 *   STORE/names/HEX             a name: {"name", "manifest", "index", "time"}; HEX is its digest
 *   STORE/holds/HEX             what a container uses: {"container", "manifest"}
 *   STORE/lock                  shared: to add; exclusive: to collect
 *
 * A file is made under NAME.tmp, which its maker holds locked (flock) from its first byte on,
 * synced, and renamed: at any moment, a file with its final name is whole.  A name is written
 * last.  So a crash or a full disk leaves files that nothing refers to, which
 * image_store_collect() removes.  Makers of one file wait for each other, so that it is made once.
 *
 * Any number of processes use a store at a time.  An image_store is one thread's, except for
 * functions that say otherwise.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "rootfs/image/digest.h"
#include "rootfs/image/reference.h"

struct image_store;

/* NULL: $SUPERMACHINE_STORE, else /var/lib/supermachine for root, else
 * $XDG_DATA_HOME/supermachine, else ~/.local/share/supermachine.  Made if missing; one that others
 * may write to is refused. */
int image_store_open(const char *directory, struct image_store **ret_store,
		     struct error **ret_error);
void image_store_close(struct image_store *store);
DEFINE_CLEANUP(struct image_store, image_store_close)
const char *image_store_path(const struct image_store *store);

/* ---- reading ---- */

struct stored_image {
	char *name; /* what it was found by: a name, else one of its names, else "" */
	char *manifest_digest, *config_digest;
	char *index_digest; /* NULL: it came without one */
	char *config_json;
	size_t n_layers;
	char **layer_paths; /* squashfs images, lowest first; ends with NULL, as diff_ids does */
	char **diff_ids;
	uint64_t size;	/* of the layers' images */
	uint64_t added; /* seconds since 1970 */
};
void stored_image_free(struct stored_image *image);
DEFINE_CLEANUP(struct stored_image, stored_image_free)

/* By a name, NAME@DIGEST, an id (a configuration's or manifest's digest) or the first digits of
 * one, at least 4.  ENOENT: there is none; EEXIST: more than one has these digits. */
int image_store_find(struct image_store *store, const char *name, struct stored_image **ret_image,
		     struct error **ret_error);
/* All, one for each name, in the order of names; ends with NULL.  Free each, and the list. */
int image_store_list(struct image_store *store, struct stored_image ***ret_images,
		     struct error **ret_error);
void stored_images_free(struct stored_image **images);
static inline void stored_images_freep(struct stored_image ***images)
{
	stored_images_free(*images);
}

/* The bytes of a blob whose digest is checked again, at most size_max. ENOENT. */
int image_store_read_blob(struct image_store *store, const char *digest, size_t size_max,
			  char **ret_bytes, size_t *ret_size, struct error **ret_error);
/* Open for reading; -1 with errno. Any thread. */
int image_store_open_blob(const struct image_store *store, const char *digest);

/* ---- adding ---- */

/* Until the store is closed nothing is collected: call it before anything is added.  Waits while
 * another process collects. */
int image_store_share(struct image_store *store, struct error **ret_error);

/* A file being made. */
struct store_file;
enum store_kind { STORE_BLOB, STORE_LAYER };
/* The file that `digest` will name, empty.  Waits for another maker of it, in whatever process.
 * *ret_file is NULL if it is there already.  Any thread. */
int store_file_begin(const struct image_store *store, enum store_kind kind, const char *digest,
		     struct store_file **ret_file, struct error **ret_error);
int store_file_fd(const struct store_file *file); /* for reading and writing */
/* Its contents are whole: gives it its name.  Frees it, as store_file_free() does, which removes
 * what was not committed. */
int store_file_commit(struct store_file *file, struct error **ret_error);
void store_file_free(struct store_file *file);
DEFINE_CLEANUP(struct store_file, store_file_free)

/* Keeps some bytes as a blob. Any thread. */
int image_store_put_blob(const struct image_store *store, const void *bytes, size_t size,
			 char ret_digest[DIGEST_SIZE], struct error **ret_error);
/* From now on, the name is this image's, of which all is there; index may be NULL. */
int image_store_set_name(struct image_store *store, const struct reference *reference,
			 const char *manifest, const char *index, struct error **ret_error);

/* ---- using and removing ---- */

/* The container of this directory uses the image until the directory is gone.  ENOENT: the image
 * was removed meanwhile. */
int image_store_hold(struct image_store *store, const struct stored_image *image,
		     const char *container_directory, struct error **ret_error);
/* The image that it uses, without a name. ENOENT: none. */
int image_store_held(struct image_store *store, const char *container_directory,
		     struct stored_image **ret_image, struct error **ret_error);
/* It does not any more: as if the directory were gone. */
void image_store_release(struct image_store *store, const char *container_directory);
/* The directory of a container that uses the image, or NULL; caller frees. */
int image_store_user(struct image_store *store, const struct stored_image *image,
		     char **ret_directory, struct error **ret_error);
/* Removes a name; the image goes with image_store_collect(). ENOENT. */
int image_store_remove_name(struct image_store *store, const char *name, struct error **ret_error);

struct store_usage {
	uint64_t names, images, layers, held; /* counts; images: manifests that are named or held */
	uint64_t layers_bytes, blobs_bytes;
	uint64_t free_bytes;   /* of both, what image_store_collect() would remove */
	uint64_t unheld_bytes; /* of both, what no container uses */
};
int image_store_usage(struct image_store *store, struct store_usage *ret_usage,
		      struct error **ret_error);
/* Removes all that no name and no container refers to. With all_unused, names of images that no
 * container uses go first.  EBUSY, unless it is to wait: another process adds to the store.
 * *ret_bytes: what was gained. */
int image_store_collect(struct image_store *store, bool all_unused, bool wait, uint64_t *ret_bytes,
			struct error **ret_error);
