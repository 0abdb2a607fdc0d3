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
#include "rootfs/image/manifest.h"
#include "rootfs/registry/actions.h"
#include "rootfs/registry/layout.h"

#define CHUNK 65536

struct save {
	struct image_store *store;
	struct archive *archive;
	char **written; /* digests */
	struct json_writer *index, *manifests;
};

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

/* *ret_size is the blob's. */
static int put_blob(struct save *save, const char *digest, uint64_t *ret_size,
		    struct error **ret_error)
{
	_cleanup_close_ int fd = image_store_open_blob(save->store, digest);
	_cleanup_free_ char *name = layout_blob_name(digest), *chunk = xmalloc(CHUNK);
	struct stat st;
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return error_set(ret_error, ENOENT,
				 "layer %s was not kept as it came: pull, load, import or commit "
				 "the image again with --keep-blobs",
				 digest);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", digest);
	*ret_size = (uint64_t)st.st_size;
	if (is_written(save, digest))
		return 0;
	strv_append(&save->written, digest);
	if (begin_entry(save, name, (uint64_t)st.st_size, ret_error) < 0)
		return -1;
	while ((n = read_all(fd, chunk, CHUNK)) > 0)
		if (put_data(save, chunk, (size_t)n, ret_error) < 0)
			return -1;
	return n < 0 ? error_set_errno(ret_error, errno, "cannot read %s", digest) : 0;
}

static void put_index_entry(struct json_writer *writer, const struct stored_image *image,
			    const char *type, uint64_t size)
{
	_cleanup_(reference_freep) struct reference *reference = NULL;
	_cleanup_free_ char *name = xstrdup(image->name);

	/* The index that its name may mean does not go along. */
	if (reference_parse(image->name, &reference, NULL) == 0 && reference->digest) {
		free(name);
		name = xasprintf("%s/%s@%s", reference->host, reference->repository,
				 image->manifest_digest);
	}
	json_begin_object(writer);
	json_put_string(writer, "mediaType", type);
	json_put_string(writer, "digest", image->manifest_digest);
	json_put_uint64(writer, "size", size);
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
	_cleanup_(manifest_freep) struct manifest *manifest = NULL;
	_cleanup_free_ char *text = NULL, *type = NULL;
	uint64_t blob_size;
	size_t size;

	if (image_store_find(save->store, name, &image, ret_error) < 0 ||
	    image_store_read_blob(save->store, image->manifest_digest, MANIFEST_SIZE_MAX, &text,
				  &size, ret_error) < 0 ||
	    manifest_parse(text, size, &manifest, ret_error) < 0)
		return -1;
	type = own_type(text, size);
	for (size_t i = 0; i < manifest->n_layers; i++)
		if (put_blob(save, manifest->layers[i].digest, &blob_size, ret_error) < 0)
			return -1;
	if (put_blob(save, manifest->config.digest, &blob_size, ret_error) < 0 ||
	    put_blob(save, image->manifest_digest, &blob_size, ret_error) < 0)
		return -1;
	put_index_entry(save->index, image, type, blob_size);
	put_manifest_entry(save->manifests, image, manifest);
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
	if (result < 0 || target_commit(&target, ret_error) < 0)
		return -1;
	strv_append(names, request->file);
	return 0;
}
