/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the store is used, and what goes: see store.h.
 *
 * Marks by walking over names and holds, then sweeps over blobs and layers.  A process that adds
 * holds the lock shared from before its first file until after its name, so that under the
 * exclusive lock nothing is halfway.
 */
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "rootfs/image/manifest.h"
#include "rootfs/image/store-parts.h"

/* Sets of file names: tsearch(3) trees.  `manifests` are those that were followed: that a digest is
 * among the blobs says nothing of it, as any manifest can name it as a layer of its own. */
struct marks {
	void *blobs, *layers, *manifests;
	size_t n_images;
};

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool is_marked(void *const *tree, const char *name)
{
	return tfind(name, tree, compare);
}

static bool mark(void **tree, const char *name)
{
	if (is_marked(tree, name))
		return false;
	(void)tsearch(xstrdup(name), tree, compare);
	return true;
}

static void marks_done(struct marks *marks)
{
	tdestroy(marks->blobs, free);
	tdestroy(marks->layers, free);
	tdestroy(marks->manifests, free);
}

struct walk {
	struct image_store *store;
	struct marks *marks, *held;
	struct store_usage *usage;
	bool removes, all_unused;
};

/* Of an image that is not whole, what can be read is marked.  What cannot be read now may be whole:
 * nothing is removed then. */
static int not_read(const struct walk *walk, struct error *own, struct error **ret_error)
{
	_cleanup_error_ struct error *error = own;

	if (!walk->removes || store_is_damage(error))
		return 0;
	if (ret_error)
		*ret_error = TAKE_PTR(error);
	return -1;
}

static int mark_image(const struct walk *walk, struct marks *marks,
		      const struct store_record *record, struct error **ret_error)
{
	_cleanup_(manifest_freep) struct manifest *manifest = NULL;
	_cleanup_free_ char *text = NULL, *config = NULL;
	_cleanup_strv_ char **diff_ids = NULL;
	struct error *error = NULL;
	size_t size;

	if (record->index)
		(void)mark(&marks->blobs, digest_hex(record->index));
	(void)mark(&marks->blobs, digest_hex(record->manifest));
	if (!mark(&marks->manifests, digest_hex(record->manifest)))
		return 0;
	marks->n_images++;
	if (image_store_read_blob(walk->store, record->manifest, MANIFEST_SIZE_MAX, &text, &size,
				  &error) < 0 ||
	    manifest_parse(text, size, &manifest, &error) < 0)
		return not_read(walk, error, ret_error);
	(void)mark(&marks->blobs, digest_hex(manifest->config.digest));
	for (size_t i = 0; i < manifest->n_layers; i++)
		(void)mark(&marks->blobs, digest_hex(manifest->layers[i].digest));
	if (image_store_read_blob(walk->store, manifest->config.digest, IMAGE_CONFIG_SIZE_MAX,
				  &config, &size, &error) < 0 ||
	    config_diff_ids(config, size, manifest->n_layers, &diff_ids, &error) < 0)
		return not_read(walk, error, ret_error);
	for (size_t i = 0; i < manifest->n_layers; i++) {
		_cleanup_free_ char *name = store_layer_name(diff_ids[i]);

		(void)mark(&marks->layers, name);
	}
	return 0;
}

static int visit_hold(void *data, const char *file, const struct store_record *record,
		      struct error **ret_error)
{
	struct walk *walk = data;

	if (store_hold_over(record)) {
		if (walk->removes)
			(void)unlinkat(walk->store->holds, file, 0);
		return 0;
	}
	walk->usage->held++;
	return mark_image(walk, walk->held, record, ret_error) < 0
		   ? -1
		   : mark_image(walk, walk->marks, record, ret_error);
}

static int visit_name(void *data, const char *file, const struct store_record *record,
		      struct error **ret_error)
{
	struct walk *walk = data;

	if (walk->all_unused && !is_marked(&walk->held->manifests, digest_hex(record->manifest))) {
		(void)unlinkat(walk->store->names, file, 0);
		return 0;
	}
	walk->usage->names++;
	return mark_image(walk, walk->marks, record, ret_error);
}

/* What makers of records that were killed have left. */
static int sweep_temporary(struct image_store *store, int directory, struct error **ret_error)
{
	_cleanup_dir_ DIR *dir = store_list(store, directory, ret_error);
	struct dirent *entry;

	if (!dir)
		return -1;
	while ((entry = readdir(dir)))
		if (cache_is_temporary(entry->d_name))
			cache_remove(directory, entry->d_name, INT64_MAX);
	return 0;
}

/* Adds up what is in a directory; removes what is not marked if `removes`. */
static int sweep(const struct walk *walk, int directory, void *const *marked, void *const *held,
		 uint64_t *bytes, struct error **ret_error)
{
	_cleanup_dir_ DIR *dir = store_list(walk->store, directory, ret_error);
	struct dirent *entry;
	struct stat st;

	if (!dir)
		return -1;
	while ((entry = readdir(dir))) {
		if (fstatat(directory, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		*bytes += (uint64_t)st.st_blocks * 512;
		if (!is_marked(held, entry->d_name))
			walk->usage->unheld_bytes += (uint64_t)st.st_blocks * 512;
		if (is_marked(marked, entry->d_name))
			continue;
		walk->usage->free_bytes += (uint64_t)st.st_blocks * 512;
		if (walk->removes)
			cache_remove(directory, entry->d_name, INT64_MAX);
	}
	return 0;
}

static void count_node(const void *node, VISIT which, void *data)
{
	(void)node;
	if (which == postorder || which == leaf)
		++*(uint64_t *)data;
}

static int walk_over(struct walk *walk, struct error **ret_error)
{
	struct image_store *store = walk->store;

	if (store_each(store, store->holds, walk->removes, visit_hold, walk, ret_error) < 0 ||
	    store_each(store, store->names, walk->removes, visit_name, walk, ret_error) < 0)
		return -1;
	if (walk->removes && (sweep_temporary(store, store->holds, ret_error) < 0 ||
			      sweep_temporary(store, store->names, ret_error) < 0))
		return -1;
	walk->usage->images = walk->marks->n_images;
	twalk_r(walk->marks->layers, count_node, &walk->usage->layers);
	if (sweep(walk, store->layers, &walk->marks->layers, &walk->held->layers,
		  &walk->usage->layers_bytes, ret_error) < 0)
		return -1;
	return sweep(walk, store->blobs, &walk->marks->blobs, &walk->held->blobs,
		     &walk->usage->blobs_bytes, ret_error);
}

int image_store_usage(struct image_store *store, struct store_usage *ret_usage,
		      struct error **ret_error)
{
	_cleanup_(marks_done) struct marks marks = { 0 };
	_cleanup_(marks_done) struct marks held = { 0 };
	struct store_usage usage = { 0 };
	struct walk walk = { .store = store, .marks = &marks, .held = &held, .usage = &usage };

	if (walk_over(&walk, ret_error) < 0)
		return -1;
	*ret_usage = usage;
	return 0;
}

int image_store_collect(struct image_store *store, bool all_unused, bool wait, uint64_t *ret_bytes,
			struct error **ret_error)
{
	_cleanup_close_ int lock = store_lock(store, LOCK_EX | (wait ? 0 : LOCK_NB));
	_cleanup_(marks_done) struct marks marks = { 0 };
	_cleanup_(marks_done) struct marks held = { 0 };
	struct store_usage usage = { 0 };
	struct walk walk = { store, &marks, &held, &usage, true, all_unused };

	if (lock < 0 && errno == EWOULDBLOCK)
		return error_set(ret_error, EBUSY, "the image store %s is being added to",
				 store->path);
	if (lock < 0)
		return error_set_errno(ret_error, errno, "cannot lock %s/lock", store->path);
	if (walk_over(&walk, ret_error) < 0)
		return -1;
	*ret_bytes = usage.free_bytes;
	return 0;
}
