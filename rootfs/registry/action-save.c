/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `save`: see actions.h.
 *
 * One tar file that is an OCI layout and a docker archive: blobs, then index.json, manifest.json
 * and oci-layout.  Manifests, configurations and layers are the bytes that came; two saves of the
 * same images are the same file.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "rootfs/image/manifest.h"
#include "rootfs/registry/actions.h"
#include "rootfs/registry/layer-tar.h"
#include "rootfs/registry/layout.h"

#define CHUNK 65536

struct save {
	struct image_store *store;
	struct archive *archive;
	char **written; /* digests */
	struct json_writer *index, *manifests;
	struct made_layer *made;
	size_t n_made;
};

/* A layer that was not kept: its archive, which is in the file that is written. */
struct made_layer {
	char diff_id[DIGEST_SIZE]; /* that the image says, and names it in the store */
	char digest[DIGEST_SIZE];
	uint64_t size;
};

/* An image as it is written. */
struct saved_image {
	const struct stored_image *image;
	struct manifest *manifest;
	char *text, *config; /* config NULL: that of the store */
	size_t size, config_size;
	char digest[DIGEST_SIZE], config_digest[DIGEST_SIZE];
};

static void saved_image_done(struct saved_image *saved)
{
	manifest_free(saved->manifest);
	free(saved->text);
	free(saved->config);
}

static int begin_entry(struct save *save, const char *name, uint64_t size, struct error **ret_error)
{
	struct archive_entry *entry = archive_entry_new();
	int result;

	archive_entry_set_pathname(entry, name);
	archive_entry_set_size(entry, (la_int64_t)size);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0644);
	archive_entry_set_mtime(entry, 0, 0);
	result = archive_write_header(save->archive, entry);
	archive_entry_free(entry);
	if (result != ARCHIVE_OK)
		return error_set(ret_error, EIO, "cannot write the archive: %s",
				 archive_error_string(save->archive));
	return 0;
}

static int put_data(struct save *save, const void *bytes, size_t size, struct error **ret_error)
{
	if (archive_write_data(save->archive, bytes, size) != (la_ssize_t)size)
		return error_set(ret_error, EIO, "cannot write the archive: %s",
				 archive_error_string(save->archive));
	return 0;
}

static int put_text(struct save *save, const char *name, const char *text, size_t size,
		    struct error **ret_error)
{
	return begin_entry(save, name, size, ret_error) < 0 ? -1
							    : put_data(save, text, size, ret_error);
}

static bool is_written(const struct save *save, const char *digest)
{
	for (size_t i = 0; save->written && save->written[i]; i++)
		if (strcmp(save->written[i], digest) == 0)
			return true;
	return false;
}

/* From its start, under the name of its digest, unless it is there already. */
static int put_file(struct save *save, int fd, const char *digest, struct error **ret_error)
{
	_cleanup_free_ char *name = layout_blob_name(digest), *chunk = xmalloc(CHUNK);
	struct stat st;
	ssize_t n;

	if (is_written(save, digest))
		return 0;
	strv_append(&save->written, digest);
	if (fstat(fd, &st) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return error_set_errno(ret_error, errno, "cannot read %s", digest);
	if (begin_entry(save, name, (uint64_t)st.st_size, ret_error) < 0)
		return -1;
	while ((n = read_all(fd, chunk, CHUNK)) > 0)
		if (put_data(save, chunk, (size_t)n, ret_error) < 0)
			return -1;
	return n < 0 ? error_set_errno(ret_error, errno, "cannot read %s", digest) : 0;
}

/* One of the store's. */
static int put_blob(struct save *save, const char *digest, struct error **ret_error)
{
	_cleanup_close_ int fd = image_store_open_blob(save->store, digest);

	return fd < 0 ? error_set_errno(ret_error, errno, "cannot open %s", digest)
		      : put_file(save, fd, digest, ret_error);
}

static int put_made_text(struct save *save, const char *text, size_t size, const char *digest,
			 struct error **ret_error)
{
	_cleanup_free_ char *name = layout_blob_name(digest);

	if (is_written(save, digest))
		return 0;
	strv_append(&save->written, digest);
	return put_text(save, name, text, size, ret_error);
}

/* ---- layers that were not kept ---- */

static bool is_kept(const struct save *save, const char *digest)
{
	_cleanup_close_ int fd = image_store_open_blob(save->store, digest);

	return fd >= 0;
}

/* Made and written, once for all images. */
static int make_layer(struct save *save, const char *diff_id, const char *path,
		      struct made_layer *ret_layer, struct error **ret_error)
{
	_cleanup_close_ int fd = -1;
	struct made_layer made;
	struct stat st;

	for (size_t i = 0; i < save->n_made; i++) {
		if (strcmp(save->made[i].diff_id, diff_id) == 0) {
			*ret_layer = save->made[i];
			return 0;
		}
	}
	fd = open_unnamed_file(image_store_path(save->store));
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot make a file in %s",
				       image_store_path(save->store));
	if (layer_write_tar(path, fd, made.digest, ret_error) < 0 ||
	    put_file(save, fd, made.digest, ret_error) < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return error_set_errno(ret_error, errno, "cannot read a layer's archive");
	made.size = (uint64_t)st.st_size;
	(void)strcpy(made.diff_id, diff_id);
	save->made = xreallocarray(save->made, save->n_made + 1, sizeof(*save->made));
	save->made[save->n_made++] = made;
	*ret_layer = made;
	return 0;
}

/* The configuration with these layers, all else as it is; caller frees. */
static int write_config(const struct stored_image *image, char *const *diff_ids, char **ret_text,
			size_t *ret_size, struct error **ret_error)
{
	_cleanup_json_ yajl_val value = NULL;
	struct json_writer *writer;
	struct json_at root;

	if (json_parse(image->config_json, strlen(image->config_json), "image configuration",
		       &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_as_object(&root, ret_error) < 0)
		return -1;
	writer = json_writer_new(false);
	json_begin_object(writer);
	for (size_t i = 0; i < json_length(&root); i++) {
		const struct json_at member = json_member_at(&root, i);

		if (strcmp(member.key, "rootfs") == 0)
			config_put_diff_ids(writer, diff_ids);
		else
			json_put_value(writer, member.key, member.value);
	}
	json_end_object(writer);
	*ret_text = json_writer_finish(writer, ret_size);
	return 0;
}

/* Each layer, as it was kept or made now, and what the manifest and the configuration are then. */
static int put_layers(struct save *save, struct saved_image *saved, struct error **ret_error)
{
	const struct stored_image *image = saved->image;
	const struct manifest *manifest = saved->manifest;
	_cleanup_free_ struct descriptor *layers = xcalloc(manifest->n_layers + 1, sizeof(*layers));
	_cleanup_free_ struct made_layer *made = xcalloc(manifest->n_layers + 1, sizeof(*made));
	_cleanup_strv_ char **diff_ids = xcalloc(1, sizeof(*diff_ids));
	struct json_writer *writer;
	bool is_made = false, is_other = false;

	for (size_t i = 0; i < manifest->n_layers; i++) {
		layers[i] = manifest->layers[i];
		if (is_kept(save, layers[i].digest)) {
			if (put_blob(save, layers[i].digest, ret_error) < 0)
				return -1;
			strv_append(&diff_ids, image->diff_ids[i]);
			continue;
		}
		if (make_layer(save, image->diff_ids[i], image->layer_paths[i], &made[i],
			       ret_error) < 0)
			return -1;
		layers[i] =
		    (struct descriptor){ (char *)MEDIA_OCI_LAYER, made[i].digest, made[i].size };
		strv_append(&diff_ids, made[i].digest);
		is_made = true;
		is_other = is_other || strcmp(made[i].digest, image->diff_ids[i]) != 0;
	}
	if (!is_made)
		return 0;
	saved->config_size = (size_t)manifest->config.size;
	if (is_other &&
	    (write_config(image, diff_ids, &saved->config, &saved->config_size, ret_error) < 0 ||
	     digest_of(saved->config, saved->config_size, saved->config_digest, ret_error) < 0))
		return -1;
	writer = manifest_begin(saved->config_digest, saved->config_size);
	for (size_t i = 0; i < manifest->n_layers; i++)
		descriptor_put(writer, NULL,
			       layers[i].media_type ? layers[i].media_type : MEDIA_OCI_LAYER,
			       layers[i].digest, layers[i].size);
	free(saved->text);
	saved->text = manifest_finish(writer, &saved->size);
	if (is_other)
		log_warning(
		    "%s: layers that were not kept as they came are made anew: where it is loaded, "
		    "its id is %s (--keep-blobs, when it is pulled, keeps it)",
		    image->name, saved->config_digest);
	return digest_of(saved->text, saved->size, saved->digest, ret_error);
}

static void put_index_entry(struct json_writer *writer, const struct saved_image *saved,
			    const char *type)
{
	const struct stored_image *image = saved->image;
	_cleanup_(reference_freep) struct reference *reference = NULL;
	_cleanup_free_ char *name = xstrdup(image->name);

	/* The index that its name may mean does not go along. */
	if (reference_parse(image->name, &reference, NULL) == 0 && reference->digest) {
		free(name);
		name = xasprintf("%s/%s@%s", reference->host, reference->repository, saved->digest);
	}
	json_begin_object(writer);
	json_put_string(writer, "mediaType", type);
	json_put_string(writer, "digest", saved->digest);
	json_put_uint64(writer, "size", saved->size);
	json_put_key(writer, "annotations");
	json_begin_object(writer);
	json_put_string(writer, "io.containerd.image.name", name);
	if (reference && reference->tag)
		json_put_string(writer, "org.opencontainers.image.ref.name", reference->tag);
	json_end_object(writer);
	json_end_object(writer);
}

static void put_manifest_entry(struct json_writer *writer, const struct stored_image *image,
			       const struct manifest *manifest)
{
	_cleanup_free_ char *config = layout_blob_name(manifest->config.digest);

	json_begin_object(writer);
	json_put_string(writer, "Config", config);
	json_put_key(writer, "RepoTags");
	json_begin_array(writer);
	if (!strchr(image->name, '@'))
		json_put_string(writer, NULL, image->name);
	json_end_array(writer);
	json_put_key(writer, "Layers");
	json_begin_array(writer);
	for (size_t i = 0; i < manifest->n_layers; i++) {
		_cleanup_free_ char *layer = layout_blob_name(manifest->layers[i].digest);

		json_put_string(writer, NULL, layer);
	}
	json_end_array(writer);
	json_end_object(writer);
}

/* The manifest's own word, which may be missing in an OCI one. */
static char *own_type(const char *text, size_t size)
{
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;
	char *type = NULL;

	if (json_parse(text, size, "manifest", &value, NULL) == 0) {
		root = json_root(value);
		(void)json_get_string(&root, "mediaType", JSON_OPTIONAL, &type, NULL);
	}
	return type ? type : xstrdup(MEDIA_OCI_MANIFEST);
}

static int put_image(struct save *save, const char *name, struct error **ret_error)
{
	_cleanup_(stored_image_freep) struct stored_image *image = NULL;
	_cleanup_(saved_image_done) struct saved_image saved = { 0 };
	_cleanup_(manifest_freep) struct manifest *written = NULL;
	_cleanup_free_ char *type = NULL;

	if (image_store_find(save->store, name, &image, ret_error) < 0 ||
	    image_store_read_blob(save->store, image->manifest_digest, MANIFEST_SIZE_MAX,
				  &saved.text, &saved.size, ret_error) < 0 ||
	    manifest_parse(saved.text, saved.size, &saved.manifest, ret_error) < 0)
		return -1;
	saved.image = image;
	(void)strcpy(saved.digest, image->manifest_digest);
	(void)strcpy(saved.config_digest, image->config_digest);
	if (put_layers(save, &saved, ret_error) < 0)
		return -1;
	if (saved.config ? put_made_text(save, saved.config, saved.config_size, saved.config_digest,
					 ret_error) < 0
			 : put_blob(save, saved.config_digest, ret_error) < 0)
		return -1;
	if (put_made_text(save, saved.text, saved.size, saved.digest, ret_error) < 0 ||
	    manifest_parse(saved.text, saved.size, &written, ret_error) < 0)
		return -1;
	type = own_type(saved.text, saved.size);
	put_index_entry(save->index, &saved, type);
	put_manifest_entry(save->manifests, image, written);
	return 0;
}

static int put_images(struct save *save, const char *const *names, struct error **ret_error)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	_cleanup_free_ char *index = NULL, *manifests = NULL;
	size_t index_size, manifests_size;
	int result = 0;

	save->index = json_writer_new(false);
	save->manifests = json_writer_new(false);
	json_begin_object(save->index);
	json_put_uint64(save->index, "schemaVersion", 2);
	json_put_string(save->index, "mediaType", MEDIA_OCI_INDEX);
	json_put_key(save->index, "manifests");
	json_begin_array(save->index);
	json_begin_array(save->manifests);
	for (size_t i = 0; names && names[i] && result == 0; i++)
		result = put_image(save, names[i], ret_error);
	json_end_array(save->index);
	json_end_object(save->index);
	json_end_array(save->manifests);
	index = json_writer_finish(save->index, &index_size);
	manifests = json_writer_finish(save->manifests, &manifests_size);
	if (result < 0 || put_text(save, "index.json", index, index_size, ret_error) < 0 ||
	    put_text(save, "manifest.json", manifests, manifests_size, ret_error) < 0)
		return -1;
	return put_text(save, "oci-layout", layout, strlen(layout), ret_error);
}

static int write_archive(struct save *save, int fd, const char *const *names,
			 struct error **ret_error)
{
	if (!save->archive ||
	    archive_write_set_format_pax_restricted(save->archive) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(save->archive, 1) != ARCHIVE_OK ||
	    archive_write_open_fd(save->archive, fd) != ARCHIVE_OK)
		return error_set(ret_error, ENOMEM, "cannot set up libarchive");
	if (put_images(save, names, ret_error) < 0)
		return -1;
	if (archive_write_close(save->archive) != ARCHIVE_OK)
		return error_set(ret_error, EIO, "cannot write the archive: %s",
				 archive_error_string(save->archive));
	return 0;
}

/* Where the archive goes: a file beside its place that takes it at the end, or, where that is not
 * a regular file (a pipe, /dev/null), the place itself. */
struct target {
	char *path, *temporary; /* NULL: written in place */
	int fd;
};

static void target_done(struct target *target)
{
	if (target->temporary)
		(void)unlink(target->temporary);
	close_fdp(&target->fd);
	free(target->temporary);
	free(target->path);
}

/* Standard output has the answer: see pull.h. */
static bool is_our_answer(const struct stat *st)
{
	struct stat answer;

	return fstat(STDOUT_FILENO, &answer) == 0 && answer.st_dev == st->st_dev &&
	       answer.st_ino == st->st_ino;
}

/* The caller's standard output; behind what is in it. */
static int open_output(struct target *target, struct error **ret_error)
{
	target->path = xasprintf("/proc/%d/fd/1", getppid());
	target->fd = open(target->path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (target->fd < 0)
		return error_set_errno(ret_error, errno, "cannot open the standard output");
	(void)lseek(target->fd, 0, SEEK_END);
	return 0;
}

static int open_in_place(struct target *target, struct error **ret_error)
{
	struct stat st;

	target->fd = open(target->path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (target->fd < 0 || fstat(target->fd, &st) < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", target->path);
	if (is_our_answer(&st))
		return error_set(ret_error, EINVAL,
				 "cannot write to %s: name a file or a named pipe", target->path);
	return 0;
}

static int open_beside(struct target *target, struct error **ret_error)
{
	const mode_t mask = umask(0);

	(void)umask(mask);
	target->temporary = xasprintf("%s.XXXXXX", target->path);
	target->fd = mkostemp(target->temporary, O_CLOEXEC);
	if (target->fd < 0) {
		free(TAKE_PTR(target->temporary));
		return error_set_errno(ret_error, errno, "cannot create a file beside %s",
				       target->path);
	}
	if (fchmod(target->fd, 0644 & ~mask) < 0)
		return error_set_errno(ret_error, errno, "cannot set the mode of %s",
				       target->temporary);
	return 0;
}

static int target_open(struct target *target, const char *file, struct error **ret_error)
{
	struct stat st;
	char *real;

	if (strcmp(file, "-") == 0)
		return open_output(target, ret_error);
	/* A link stays one. */
	real = realpath(file, NULL);
	target->path = real ? real : xstrdup(file);
	if (stat(file, &st) == 0 && !S_ISREG(st.st_mode)) {
		/* (What /proc's links lead to may have no path.) */
		free(target->path);
		target->path = xstrdup(file);
		return open_in_place(target, ret_error);
	}
	return open_beside(target, ret_error);
}

static int target_commit(struct target *target, struct error **ret_error)
{
	if (!target->temporary)
		return 0;
	if (fsync(target->fd) < 0 || rename(target->temporary, target->path) < 0)
		return error_set_errno(ret_error, errno, "cannot write %s", target->path);
	free(TAKE_PTR(target->temporary));
	return 0;
}

int action_save(struct image_store *store, const struct images_request *request, char ***names,
		struct error **ret_error)
{
	_cleanup_(target_done) struct target target = { .fd = -1 };
	struct save save = { .store = store };
	int result;

	if (!request->file)
		return error_set(ret_error, EINVAL, "save: no file");
	if (image_store_share(store, ret_error) < 0 ||
	    target_open(&target, request->file, ret_error) < 0)
		return -1;
	save.archive = archive_write_new();
	result = write_archive(&save, target.fd, request->references, ret_error);
	(void)archive_write_free(save.archive);
	strv_free(save.written);
	free(save.made);
	if (result < 0 || target_commit(&target, ret_error) < 0)
		return -1;
	strv_append(names, request->file);
	return 0;
}
