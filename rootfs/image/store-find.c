/* SPDX-License-Identifier: Apache-2.0 */
/* Images of the store, by names and ids: see store.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/log.h"
#include "rootfs/image/manifest.h"
#include "rootfs/image/store-parts.h"

#define ID_DIGITS_MIN 4

void stored_image_free(struct stored_image *image)
{
	if (!image)
		return;
	free(image->name);
	free(image->manifest_digest);
	free(image->config_digest);
	free(image->index_digest);
	free(image->config_json);
	strv_free(image->layer_paths);
	strv_free(image->diff_ids);
	free(image);
}

void stored_images_free(struct stored_image **images)
{
	for (size_t i = 0; images && images[i]; i++)
		stored_image_free(images[i]);
	free(images);
}

static int find_layers(const struct image_store *store, struct stored_image *image,
		       struct error **ret_error)
{
	for (size_t i = 0; i < image->n_layers; i++) {
		_cleanup_free_ char *name = store_layer_name(image->diff_ids[i]);
		_cleanup_free_ char *path = xasprintf("%s/layers/%s", store->path, name);
		struct stat st;

		if (fstatat(store->layers, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return error_set_errno(ret_error, errno,
					       "layer %s is not in the image store %s",
					       image->diff_ids[i], store->path);
		image->size += (uint64_t)st.st_size;
		strv_append(&image->layer_paths, path);
	}
	return 0;
}

/* The image of a manifest that is here, without a name. */
static int load(struct image_store *store, const char *manifest_digest,
		struct stored_image **ret_image, struct error **ret_error)
{
	_cleanup_(stored_image_freep) struct stored_image *image = xcalloc(1, sizeof(*image));
	_cleanup_(manifest_freep) struct manifest *manifest = NULL;
	_cleanup_free_ char *text = NULL;
	size_t size, config_size;

	if (image_store_read_blob(store, manifest_digest, MANIFEST_SIZE_MAX, &text, &size,
				  ret_error) < 0 ||
	    manifest_parse(text, size, &manifest, ret_error) < 0 ||
	    image_store_read_blob(store, manifest->config.digest, IMAGE_CONFIG_SIZE_MAX,
				  &image->config_json, &config_size, ret_error) < 0 ||
	    config_diff_ids(image->config_json, config_size, manifest->n_layers, &image->diff_ids,
			    ret_error) < 0)
		return -1;
	image->name = xstrdup("");
	image->manifest_digest = xstrdup(manifest_digest);
	image->config_digest = xstrdup(manifest->config.digest);
	image->n_layers = manifest->n_layers;
	if (find_layers(store, image, ret_error) < 0)
		return -1;
	*ret_image = TAKE_PTR(image);
	return 0;
}

static int load_record(struct image_store *store, const struct store_record *record,
		       struct stored_image **ret_image, struct error **ret_error)
{
	struct stored_image *image;

	if (load(store, record->manifest, &image, ret_error) < 0)
		return -1;
	free(image->name);
	image->name = xstrdup(record->name);
	image->index_digest = xstrdup(record->index);
	image->added = record->time;
	*ret_image = image;
	return 0;
}

/* ---- the list ---- */

struct list {
	struct image_store *store;
	struct stored_image **images;
	size_t n;
};

static int add_to_list(void *data, const char *file, const struct store_record *record,
		       struct error **ret_error)
{
	_cleanup_error_ struct error *error = NULL;
	struct list *list = data;
	struct stored_image *image;

	(void)file;
	(void)ret_error;
	if (load_record(list->store, record, &image, &error) < 0) {
		log_warning("image %s: %s", record->name, error->message);
		return 0;
	}
	list->images = xreallocarray(list->images, list->n + 2, sizeof(*list->images));
	list->images[list->n++] = image;
	list->images[list->n] = NULL;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(struct stored_image *const *)a)->name,
		      (*(struct stored_image *const *)b)->name);
}

int image_store_list(struct image_store *store, struct stored_image ***ret_images,
		     struct error **ret_error)
{
	struct list list = { .store = store, .images = xcalloc(1, sizeof(*list.images)) };

	if (store_each(store, store->names, false, add_to_list, &list, ret_error) < 0) {
		stored_images_free(list.images);
		return -1;
	}
	if (list.n > 1)
		qsort(list.images, list.n, sizeof(*list.images), compare_names);
	*ret_images = list.images;
	return 0;
}

/* ---- one ---- */

struct search {
	const char *name;   /* whole, "HOST/PATH:TAG"; NULL: none */
	char *repository;   /* "HOST/PATH", with digest */
	const char *digest; /* of a manifest or index; NULL: none */
	struct store_record found;
};

static void take_record(struct store_record *found, const struct store_record *record)
{
	store_record_done(found);
	*found = (struct store_record){ xstrdup(record->name), xstrdup(record->manifest),
					xstrdup(record->index), record->time };
}

static bool is_of_repository(const char *name, const char *repository)
{
	const size_t length = strlen(repository);

	return strncmp(name, repository, length) == 0 &&
	       (name[length] == ':' || name[length] == '@');
}

static int match_name(void *data, const char *file, const struct store_record *record,
		      struct error **ret_error)
{
	struct search *search = data;

	(void)file;
	(void)ret_error;
	if (search->digest ? is_of_repository(record->name, search->repository) &&
				 (strcmp(record->manifest, search->digest) == 0 ||
				  (record->index && strcmp(record->index, search->digest) == 0))
			   : strcmp(record->name, search->name) == 0)
		take_record(&search->found, record);
	return 0;
}

/* Where the text cannot be a name, nothing is found. */
static int find_name(struct image_store *store, const char *text, struct store_record *ret_record,
		     struct error **ret_error)
{
	_cleanup_(reference_freep) struct reference *reference = NULL;
	_cleanup_free_ char *repository = NULL;
	struct search search = { 0 };

	if (reference_parse(text, &reference, NULL) < 0)
		return 0;
	repository = xasprintf("%s/%s", reference->host, reference->repository);
	search = (struct search){ reference->name, repository, reference->digest, { 0 } };
	if (store_each(store, store->names, false, match_name, &search, ret_error) < 0) {
		store_record_done(&search.found);
		return -1;
	}
	*ret_record = search.found;
	return 0;
}

static bool has_digits(const char *digest, const char *digits)
{
	return strncmp(digest_hex(digest), digits, strlen(digits)) == 0;
}

static int find_id(struct image_store *store, const char *text, struct stored_image **ret_image,
		   struct error **ret_error)
{
	const bool has_prefix = strncmp(text, DIGEST_PREFIX, strlen(DIGEST_PREFIX)) == 0;
	const char *digits = has_prefix ? digest_hex(text) : text;
	_cleanup_(stored_images_freep) struct stored_image **images = NULL;
	_cleanup_(stored_image_freep) struct stored_image *found = NULL;

	if (strlen(digits) < ID_DIGITS_MIN || strspn(digits, "0123456789abcdef") != strlen(digits))
		return error_set(ret_error, ENOENT, "no such image: %s", text);
	if (image_store_list(store, &images, ret_error) < 0)
		return -1;
	for (size_t i = 0; images[i]; i++) {
		if (!has_digits(images[i]->config_digest, digits) &&
		    !has_digits(images[i]->manifest_digest, digits))
			continue;
		if (found && strcmp(found->manifest_digest, images[i]->manifest_digest) != 0)
			return error_set(ret_error, EEXIST,
					 "more than one image has an id that begins with %s",
					 digits);
		if (found)
			continue;
		found = images[i];
		for (size_t k = i; images[k]; k++)
			images[k] = images[k + 1];
		i--;
	}
	if (!found)
		return error_set(ret_error, ENOENT, "no such image: %s", text);
	*ret_image = TAKE_PTR(found);
	return 0;
}

int image_store_find(struct image_store *store, const char *name, struct stored_image **ret_image,
		     struct error **ret_error)
{
	_cleanup_(store_record_done) struct store_record record = { 0 };

	if (find_name(store, name, &record, ret_error) < 0)
		return -1;
	if (record.name)
		return load_record(store, &record, ret_image, ret_error);
	return find_id(store, name, ret_image, ret_error);
}

/* ---- use ---- */

int image_store_hold(struct image_store *store, const struct stored_image *image,
		     const char *container_directory, struct error **ret_error)
{
	_cleanup_(stored_image_freep) struct stored_image *again = NULL;
	_cleanup_close_ int lock = store_lock(store, LOCK_SH);
	const struct store_record record = { .name = (char *)container_directory,
					     .manifest = image->manifest_digest };

	if (lock < 0)
		return error_set_errno(ret_error, errno, "cannot lock %s/lock", store->path);
	if (load(store, image->manifest_digest, &again, ret_error) < 0)
		return error_wrap(ret_error, "image %s", image->name);
	return store_write_record(store, store->holds, &record, ret_error);
}

int image_store_held(struct image_store *store, const char *container_directory,
		     struct stored_image **ret_image, struct error **ret_error)
{
	_cleanup_(store_record_done) struct store_record record = { 0 };
	char file[DIGEST_SIZE];

	if (store_record_file(container_directory, file, ret_error) < 0 ||
	    store_read_record(store->holds, file, &record, ret_error) < 0)
		return -1;
	return load(store, record.manifest, ret_image, ret_error);
}

struct user {
	const char *manifest;
	char *directory;
};

static int visit_hold(void *data, const char *file, const struct store_record *record,
		      struct error **ret_error)
{
	struct user *user = data;

	(void)file;
	(void)ret_error;
	if (!user->directory && !store_hold_over(record) &&
	    strcmp(record->manifest, user->manifest) == 0)
		user->directory = xstrdup(record->name);
	return 0;
}

int image_store_user(struct image_store *store, const struct stored_image *image,
		     char **ret_directory, struct error **ret_error)
{
	struct user user = { .manifest = image->manifest_digest };

	if (store_each(store, store->holds, false, visit_hold, &user, ret_error) < 0)
		return -1;
	*ret_directory = user.directory;
	return 0;
}
