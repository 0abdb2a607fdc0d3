/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `import`: see actions.h.
 *
 * A root file system's archive becomes the only layer of an image that says nothing of how it is to
 * be run, or, for `commit`, the top layer of one that has the layers of another, its base.  Its
 * layer has no name before all of it has been read, so its image is made in a file without one. The
 * manifest tells of the archive as it is without compression, which has the diff-id for its digest.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "rootfs/image/manifest.h"
#include "rootfs/image/unpack.h"
#include "rootfs/registry/actions.h"

int action_open_input(const char *name, int *ret_fd, struct stat *ret_st, struct error **ret_error)
{
	_cleanup_free_ char *path =
	    strcmp(name, "-") == 0 ? xasprintf("/proc/%d/fd/0", getppid()) : xstrdup(name);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0 || fstat(fd, ret_st) < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", name);
	if (!S_ISREG(ret_st->st_mode) && !S_ISFIFO(ret_st->st_mode) && !S_ISDIR(ret_st->st_mode))
		return error_set(ret_error, EINVAL, "%s is not a file or a pipe",
				 strcmp(name, "-") == 0 ? "the standard input" : name);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int make_nameless(const struct image_store *store, struct error **ret_error)
{
	const int fd = open_unnamed_file(image_store_path(store));

	return fd < 0 ? error_set_errno(ret_error, errno, "cannot make a file in %s",
					image_store_path(store))
		      : fd;
}

/* What has been written to a file without a name, now that there is one. */
static int give_name(const struct image_store *store, enum store_kind kind, const char *digest,
		     int fd, uint64_t size, struct error **ret_error)
{
	_cleanup_(store_file_freep) struct store_file *file = NULL;
	off_t start = 0;
	ssize_t copied;

	if (store_file_begin(store, kind, digest, &file, ret_error) < 0)
		return -1;
	if (!file)
		return 0;
	copied = copy_bytes(fd, &start, store_file_fd(file), size);
	if (copied < 0)
		return error_set_errno(ret_error, errno, "cannot copy a layer");
	if ((uint64_t)copied < size)
		return error_set(ret_error, EIO, "a layer has been cut while it was copied");
	return store_file_commit(TAKE_PTR(file), ret_error);
}

/* keep: also as a blob, not compressed, whose digest is the diff-id. */
static int add_layer(const struct image_store *store, int input, bool keep,
		     struct unpack_result *ret_layer, struct error **ret_error)
{
	_cleanup_close_ int fd = make_nameless(store, ret_error);
	_cleanup_close_ int copy = fd >= 0 && keep ? make_nameless(store, ret_error) : -1;
	const struct unpack_options options = { .copy_fd = keep ? &copy : NULL, .needs_end = true };

	if (fd < 0 || (keep && copy < 0) ||
	    unpack_layer(input, fd, &options, ret_layer, ret_error) < 0)
		return -1;
	if (keep && give_name(store, STORE_BLOB, ret_layer->diff_id, copy, ret_layer->tar_bytes,
			      ret_error) < 0)
		return -1;
	return give_name(store, STORE_LAYER, ret_layer->diff_id, fd, ret_layer->image_bytes,
			 ret_error);
}

/* What is below the new layer; all zeros: nothing. */
struct base {
	struct manifest *manifest;
	yajl_val config;
	struct json_at root; /* of the configuration */
	char **diff_ids;
};

static void base_done(struct base *base)
{
	manifest_free(base->manifest);
	json_free(base->config);
	strv_free(base->diff_ids);
}

static int read_base(struct image_store *store, const char *digest, struct base *base,
		     struct error **ret_error)
{
	_cleanup_free_ char *manifest = NULL, *config = NULL;
	size_t size;

	if (!digest)
		return 0;
	if (!digest_valid(digest))
		return error_set(ret_error, EINVAL, "base: not a digest");
	if (image_store_read_blob(store, digest, MANIFEST_SIZE_MAX, &manifest, &size, ret_error) <
		0 ||
	    manifest_parse(manifest, size, &base->manifest, ret_error) < 0)
		return -1;
	if (base->manifest->n_layers == IMAGE_LAYERS_MAX)
		return error_set(ret_error, E2BIG, "the image has %d layers already",
				 IMAGE_LAYERS_MAX);
	if (image_store_read_blob(store, base->manifest->config.digest, IMAGE_CONFIG_SIZE_MAX,
				  &config, &size, ret_error) < 0 ||
	    config_diff_ids(config, size, base->manifest->n_layers, &base->diff_ids, ret_error) <
		0 ||
	    json_parse(config, size, "image configuration", &base->config, ret_error) < 0)
		return -1;
	base->root = json_root(base->config);
	return 0;
}

/* A member of the base's configuration, else what is said. */
static void put_text(struct json_writer *writer, const struct base *base, const char *key,
		     const char *otherwise)
{
	struct json_at at = { 0 };

	if (base->config && json_member(&base->root, key, JSON_OPTIONAL, &at, NULL) == 0 &&
	    json_present(&at))
		json_put_value(writer, key, at.value);
	else if (!base->config && otherwise)
		json_put_string(writer, key, otherwise);
}

static void put_diff_ids(struct json_writer *writer, const struct base *base,
			 const struct unpack_result *layer)
{
	_cleanup_strv_ char **diff_ids = NULL;

	for (char **diff_id = base->diff_ids; diff_id && *diff_id; diff_id++)
		strv_append(&diff_ids, *diff_id);
	strv_append(&diff_ids, layer->diff_id);
	config_put_diff_ids(writer, diff_ids);
}

static void put_history(struct json_writer *writer, const struct base *base,
			const struct images_request *request, const char *now)
{
	struct json_at history = { 0 };

	if (base->config)
		(void)json_array(&base->root, "history", JSON_OPTIONAL, &history, NULL);
	json_put_key(writer, "history");
	json_begin_array(writer);
	for (size_t i = 0; i < json_length(&history); i++)
		json_put_value(writer, NULL, json_element(&history, i).value);
	/* It is optional, but each layer has an entry if there are any. */
	for (size_t i = 0;
	     base->manifest && json_length(&history) == 0 && i < base->manifest->n_layers; i++) {
		json_begin_object(writer);
		json_end_object(writer);
	}
	json_begin_object(writer);
	json_put_string(writer, "created", now);
	if (request->author)
		json_put_string(writer, "author", request->author);
	json_put_string(writer, "comment", request->message ? request->message : "Imported");
	json_end_object(writer);
	json_end_array(writer);
}

/* image-spec config.md; caller frees. */
static char *write_config(const struct platform *platform, const struct images_request *request,
			  const struct base *base, yajl_val run_config,
			  const struct unpack_result *layer, size_t *ret_size)
{
	struct json_writer *writer = json_writer_new(false);
	char now[CLOCK_RFC3339_SIZE];

	clock_rfc3339(clock_realtime_ns(), now);
	json_begin_object(writer);
	json_put_string(writer, "created", now);
	if (request->author)
		json_put_string(writer, "author", request->author);
	put_text(writer, base, "architecture", platform->architecture);
	put_text(writer, base, "variant", platform->variant);
	put_text(writer, base, "os", platform->os);
	json_put_value(writer, "config", run_config);
	put_diff_ids(writer, base, layer);
	put_history(writer, base, request, now);
	json_end_object(writer);
	return json_writer_finish(writer, ret_size);
}

/* Docker's name of what has OCI's name in an OCI manifest. */
static const char *layer_type(const struct descriptor *layer)
{
	if (!layer->media_type || strcmp(layer->media_type, MEDIA_DOCKER_LAYER) == 0)
		return MEDIA_OCI_LAYER "+gzip";
	return layer->media_type;
}

/* image-spec manifest.md; caller frees. */
static char *write_manifest(const char *config_digest, size_t config_size, const struct base *base,
			    const struct unpack_result *layer, size_t *ret_size)
{
	struct json_writer *writer = manifest_begin(config_digest, config_size);

	for (size_t i = 0; base->manifest && i < base->manifest->n_layers; i++) {
		const struct descriptor *below = &base->manifest->layers[i];

		descriptor_put(writer, NULL, layer_type(below), below->digest, below->size);
	}
	descriptor_put(writer, NULL, MEDIA_OCI_LAYER, layer->diff_id, layer->tar_bytes);
	return manifest_finish(writer, ret_size);
}

/* One that was not given stands for the digest. */
static int choose_name(const char *asked, const char *digest, struct reference **ret_reference,
		       struct error **ret_error)
{
	_cleanup_free_ char *other = xasprintf("localhost/imported@%s", digest);

	return reference_parse(asked ? asked : other, ret_reference, ret_error);
}

static int add_image(struct image_store *store, const struct images_request *request,
		     const struct platform *platform, const struct base *base,
		     const struct unpack_result *layer, char ***names, struct error **ret_error)
{
	_cleanup_(reference_freep) struct reference *reference = NULL;
	const char *text = request->config ? request->config : "{}";
	_cleanup_free_ char *config = NULL, *manifest = NULL;
	_cleanup_json_ yajl_val run_config = NULL;
	char digest[DIGEST_SIZE];
	size_t size;

	if (json_parse(text, strlen(text), "config", &run_config, ret_error) < 0)
		return -1;
	config = write_config(platform, request, base, run_config, layer, &size);
	if (image_store_put_blob(store, config, size, digest, ret_error) < 0)
		return -1;
	manifest = write_manifest(digest, size, base, layer, &size);
	if (image_store_put_blob(store, manifest, size, digest, ret_error) < 0 ||
	    choose_name(request->reference, digest, &reference, ret_error) < 0 ||
	    image_store_set_name(store, reference, digest, NULL, ret_error) < 0)
		return -1;
	strv_append(names, reference->name);
	return 0;
}

int action_import(struct image_store *store, const struct images_request *request, char ***names,
		  struct error **ret_error)
{
	_cleanup_(platform_done) struct platform platform = { 0 };
	_cleanup_(reference_freep) struct reference *reference = NULL;
	_cleanup_(base_done) struct base base = { 0 };
	_cleanup_close_ int input = -1;
	struct unpack_result layer;
	struct stat st;

	if (!request->file)
		return error_set(ret_error, EINVAL, "import: no file");
	if (request->reference && reference_parse(request->reference, &reference, ret_error) < 0)
		return -1;
	if (reference && reference->digest)
		return error_set(ret_error, EINVAL, "%s: a name for an import has no digest",
				 request->reference);
	if (platform_parse(request->options.platform, &platform, ret_error) < 0 ||
	    image_store_share(store, ret_error) < 0 ||
	    read_base(store, request->base, &base, ret_error) < 0 ||
	    action_open_input(request->file, &input, &st, ret_error) < 0)
		return -1;
	if (S_ISDIR(st.st_mode))
		return error_set(ret_error, EINVAL, "%s is not a file or a pipe", request->file);
	if (add_layer(store, input, request->options.keep_blobs, &layer, ret_error) < 0)
		return error_wrap(ret_error, "%s", request->file);
	return add_image(store, request, &platform, &base, &layer, names, ret_error);
}
