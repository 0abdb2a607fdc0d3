/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `load`: see actions.h.
 *
 * An OCI layout (image-spec image-layout.md) has its images' own manifests.  A docker archive has
 * none: one is written here, always the same for the same files; for one before docker 1.10 so is
 * the configuration.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/plain.h"
#include "rootfs/image/manifest.h"
#include "rootfs/registry/actions.h"
#include "rootfs/registry/docker-v1.h"
#include "rootfs/registry/layers.h"
#include "rootfs/registry/layout.h"

struct load {
	struct image_store *store;
	const struct images_request *request;
	struct layout *layout;
	struct platform platform;
	char ***names;
};

/* A blob of a layout, small and with the digest of its name. */
static int read_blob(struct load *load, const char *digest, size_t size_max, char **ret_text,
		     size_t *ret_size, struct error **ret_error)
{
	_cleanup_free_ char *name = layout_blob_name(digest), *text = NULL;
	char got[DIGEST_SIZE];
	size_t size;

	if (layout_read_file(load->layout, name, size_max, &text, &size, ret_error) < 0 ||
	    digest_of(text, size, got, ret_error) < 0)
		return -1;
	if (strcmp(got, digest) != 0)
		return error_set(ret_error, EBADMSG, "%s: it has the digest %s", name, got);
	*ret_text = TAKE_PTR(text);
	*ret_size = size;
	return 0;
}

static int keep_blob(struct load *load, int fd, const char *digest, struct error **ret_error)
{
	_cleanup_(store_file_freep) struct store_file *file = NULL;
	char got[DIGEST_SIZE];

	if (store_file_begin(load->store, STORE_BLOB, digest, &file, ret_error) < 0)
		return -1;
	if (!file)
		return 0;
	if (file_digest(fd, store_file_fd(file), got, ret_error) < 0)
		return -1;
	if (strcmp(got, digest) != 0)
		return error_set(ret_error, EBADMSG, "layer %s: it has the digest %s", digest, got);
	return store_file_commit(TAKE_PTR(file), ret_error);
}

/* What an image is made of. */
struct parts {
	char *index, *manifest, *config; /* index NULL: it has none */
	size_t index_size, manifest_size, config_size;
	char **files; /* one for each layer */
};

static void parts_done(struct parts *parts)
{
	free(parts->index);
	free(parts->manifest);
	free(parts->config);
	strv_free(parts->files);
}

/* A name with a digest is that of what has the digest: the manifest, or the index that led to it.
 */
static int check_name(const struct reference *reference, const char *manifest, const char *index,
		      struct error **ret_error)
{
	const char *digest = reference->digest;

	if (!digest || strcmp(digest, manifest) == 0 || (index && strcmp(digest, index) == 0))
		return 0;
	return error_set(ret_error, EBADMSG, "%s: this image has the digest %s", reference->name,
			 manifest);
}

/* Layers, configuration, manifest and index, and then the name. */
static int add_image(struct load *load, const struct parts *parts,
		     const struct reference *reference, struct error **ret_error)
{
	_cleanup_(manifest_freep) struct manifest *parsed = NULL;
	_cleanup_strv_ char **diff_ids = NULL;
	char digest[DIGEST_SIZE], index[DIGEST_SIZE];

	if (manifest_parse(parts->manifest, parts->manifest_size, &parsed, ret_error) < 0 ||
	    config_diff_ids(parts->config, parts->config_size, parsed->n_layers, &diff_ids,
			    ret_error) < 0 ||
	    digest_of(parts->manifest, parts->manifest_size, digest, ret_error) < 0 ||
	    (parts->index && digest_of(parts->index, parts->index_size, index, ret_error) < 0) ||
	    check_name(reference, digest, parts->index ? index : NULL, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < parsed->n_layers; i++) {
		_cleanup_close_ int fd = -1;

		if (layout_open_file(load->layout, parts->files[i], &fd, ret_error) < 0 ||
		    layer_add(load->store, fd, diff_ids[i], ret_error) < 0 ||
		    (load->request->options.keep_blobs &&
		     keep_blob(load, fd, parsed->layers[i].digest, ret_error) < 0))
			return -1;
	}
	if (image_store_put_blob(load->store, parts->config, parts->config_size, digest,
				 ret_error) < 0 ||
	    (parts->index && image_store_put_blob(load->store, parts->index, parts->index_size,
						  index, ret_error) < 0) ||
	    image_store_put_blob(load->store, parts->manifest, parts->manifest_size, digest,
				 ret_error) < 0 ||
	    image_store_set_name(load->store, reference, digest, parts->index ? index : NULL,
				 ret_error) < 0)
		return -1;
	strv_append(load->names, reference->name);
	return 0;
}

/* ---- OCI layouts ---- */

/* The whole name that containerd and docker write, else a reference of its own; else one that
 * stands for the digest. */
static int name_of(const struct json_at *descriptor, const char *digest,
		   struct reference **ret_reference, struct error **ret_error)
{
	_cleanup_free_ char *name = NULL, *reference = NULL, *other = NULL;
	struct json_at annotations;

	if (json_object(descriptor, "annotations", JSON_OPTIONAL, &annotations, ret_error) < 0)
		return -1;
	if (json_present(&annotations) &&
	    (json_get_string(&annotations, "io.containerd.image.name", JSON_OPTIONAL, &name,
			     ret_error) < 0 ||
	     json_get_string(&annotations, "org.opencontainers.image.ref.name", JSON_OPTIONAL,
			     &reference, ret_error) < 0))
		return -1;
	if (name && reference_parse(name, ret_reference, NULL) == 0)
		return 0;
	/* A tag alone does not name an image. */
	if (reference && strpbrk(reference, "/:") &&
	    reference_parse(reference, ret_reference, NULL) == 0)
		return 0;
	other = xasprintf("localhost/loaded@%s", digest);
	return reference_parse(other, ret_reference, ret_error);
}

static int load_manifest(struct load *load, const char *digest, const struct reference *reference,
			 struct error **ret_error)
{
	_cleanup_(parts_done) struct parts parts = { 0 };
	_cleanup_(manifest_freep) struct manifest *parsed = NULL;
	_cleanup_(descriptor_done) struct descriptor chosen = { 0 };

	if (read_blob(load, digest, MANIFEST_SIZE_MAX, &parts.manifest, &parts.manifest_size,
		      ret_error) < 0)
		return -1;
	if (manifest_is_index(parts.manifest, parts.manifest_size, NULL)) {
		parts.index = TAKE_PTR(parts.manifest);
		parts.index_size = parts.manifest_size;
		if (index_choose(parts.index, parts.index_size, &load->platform, &chosen,
				 ret_error) < 0 ||
		    read_blob(load, chosen.digest, MANIFEST_SIZE_MAX, &parts.manifest,
			      &parts.manifest_size, ret_error) < 0)
			return -1;
	}
	if (manifest_parse(parts.manifest, parts.manifest_size, &parsed, ret_error) < 0 ||
	    read_blob(load, parsed->config.digest, IMAGE_CONFIG_SIZE_MAX, &parts.config,
		      &parts.config_size, ret_error) < 0 ||
	    config_check_platform(parts.config, parts.config_size, &load->platform, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < parsed->n_layers; i++) {
		_cleanup_free_ char *name = layout_blob_name(parsed->layers[i].digest);

		strv_append(&parts.files, name);
	}
	return add_image(load, &parts, reference, ret_error);
}

static int load_oci(struct load *load, const char *index, size_t size, struct error **ret_error)
{
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root, manifests;

	if (json_parse(index, size, "index.json", &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (index_manifests(&root, &manifests, ret_error) < 0)
		return error_wrap(ret_error, "index.json");
	for (size_t i = 0; i < json_length(&manifests); i++) {
		struct json_at at = json_element(&manifests, i);
		_cleanup_(reference_freep) struct reference *reference = NULL;
		_cleanup_free_ char *digest = NULL;

		if (json_get_string(&at, "digest", JSON_REQUIRED, &digest, ret_error) < 0)
			return -1;
		if (!digest_valid(digest))
			return json_error(&at, ret_error, "not a sha256 digest");
		if (name_of(&at, digest, &reference, ret_error) < 0 ||
		    load_manifest(load, digest, reference, ret_error) < 0)
			return -1;
	}
	return 0;
}

/* ---- docker archives ---- */

static const char *layer_type(int fd)
{
	uint8_t magic[4] = { 0 };

	(void)!pread(fd, magic, sizeof(magic), 0);
	if (magic[0] == 0x1f && magic[1] == 0x8b)
		return MEDIA_OCI_LAYER "+gzip";
	return memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0 ? MEDIA_OCI_LAYER "+zstd"
							 : MEDIA_OCI_LAYER;
}

static int put_layer(struct load *load, struct json_writer *writer, const char *file,
		     struct error **ret_error)
{
	_cleanup_close_ int fd = -1;
	char digest[DIGEST_SIZE];
	struct stat st;

	if (layout_open_file(load->layout, file, &fd, ret_error) < 0 ||
	    file_digest(fd, -1, digest, ret_error) < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return error_set_errno(ret_error, errno, "cannot read %s", file);
	descriptor_put(writer, NULL, layer_type(fd), digest, (uint64_t)st.st_size);
	return 0;
}

static int write_manifest(struct load *load, const char *config, size_t config_size,
			  char *const *files, char **ret_text, size_t *ret_size,
			  struct error **ret_error)
{
	struct json_writer *writer;
	char digest[DIGEST_SIZE];
	int result = 0;

	if (digest_of(config, config_size, digest, ret_error) < 0)
		return -1;
	writer = manifest_begin(digest, config_size);
	for (size_t i = 0; files && files[i] && result == 0; i++)
		result = put_layer(load, writer, files[i], ret_error);
	*ret_text = manifest_finish(writer, ret_size);
	return result;
}

/* parts has its configuration and files. tags NULL: named by its digest. */
static int add_docker_image(struct load *load, struct parts *parts, char *const *tags,
			    struct error **ret_error)
{
	_cleanup_strv_ char **names = NULL;
	char digest[DIGEST_SIZE];

	if (config_check_platform(parts->config, parts->config_size, &load->platform, ret_error) <
		0 ||
	    write_manifest(load, parts->config, parts->config_size, parts->files, &parts->manifest,
			   &parts->manifest_size, ret_error) < 0 ||
	    digest_of(parts->manifest, parts->manifest_size, digest, ret_error) < 0)
		return -1;
	for (size_t i = 0; tags && tags[i]; i++)
		strv_append(&names, tags[i]);
	if (!names) {
		_cleanup_free_ char *other = xasprintf("localhost/loaded@%s", digest);

		strv_append(&names, other);
	}
	for (size_t i = 0; names[i]; i++) {
		_cleanup_(reference_freep) struct reference *reference = NULL;

		if (reference_parse(names[i], &reference, ret_error) < 0 ||
		    add_image(load, parts, reference, ret_error) < 0)
			return -1;
	}
	return 0;
}

static int load_docker_image(struct load *load, const struct json_at *at, struct error **ret_error)
{
	_cleanup_(parts_done) struct parts parts = { 0 };
	_cleanup_free_ char *config = NULL;
	_cleanup_strv_ char **tags = NULL;

	if (json_get_string(at, "Config", JSON_REQUIRED, &config, ret_error) < 0 ||
	    json_get_strv(at, "RepoTags", JSON_OPTIONAL, &tags, ret_error) < 0 ||
	    json_get_strv(at, "Layers", JSON_OPTIONAL, &parts.files, ret_error) < 0)
		return -1;
	if (strv_length(parts.files) > IMAGE_LAYERS_MAX)
		return json_error(at, ret_error, "more than %d layers", IMAGE_LAYERS_MAX);
	if (layout_read_file(load->layout, config, IMAGE_CONFIG_SIZE_MAX, &parts.config,
			     &parts.config_size, ret_error) < 0)
		return -1;
	return add_docker_image(load, &parts, tags, ret_error);
}

/* The tags of one name in `repositories`. */
static int load_repository(struct load *load, const struct json_at *repository,
			   struct error **ret_error)
{
	if (json_as_object(repository, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < json_length(repository); i++) {
		struct json_at tag = json_member_at(repository, i);
		_cleanup_free_ char *id = NULL, *name = NULL;
		_cleanup_(parts_done) struct parts parts = { 0 };
		char *tags[] = { NULL, NULL };

		if (json_as_string(&tag, &id, ret_error) < 0 ||
		    docker_v1_image(load->layout, id, &parts.config, &parts.config_size,
				    &parts.files, ret_error) < 0)
			return -1;
		tags[0] = name = xasprintf("%s:%s", repository->key, tag.key);
		if (add_docker_image(load, &parts, tags, ret_error) < 0)
			return error_wrap(ret_error, "%s", name);
	}
	return 0;
}

static int load_repositories(struct load *load, const char *text, size_t size,
			     struct error **ret_error)
{
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;

	if (json_parse(text, size, "repositories", &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_as_object(&root, ret_error) < 0)
		return error_wrap(ret_error, "repositories");
	for (size_t i = 0; i < json_length(&root); i++) {
		struct json_at repository = json_member_at(&root, i);

		if (load_repository(load, &repository, ret_error) < 0)
			return error_wrap(ret_error, "repositories");
	}
	return 0;
}

static int load_docker(struct load *load, const char *text, size_t size, struct error **ret_error)
{
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;

	if (json_parse(text, size, "manifest.json", &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (!YAJL_IS_ARRAY(root.value) || json_length(&root) > INDEX_MANIFESTS_MAX)
		return json_error(&root, ret_error, "must be an array of images");
	for (size_t i = 0; i < json_length(&root); i++) {
		struct json_at at = json_element(&root, i);

		if (json_as_object(&at, ret_error) < 0 ||
		    load_docker_image(load, &at, ret_error) < 0)
			return error_wrap(ret_error, "manifest.json");
	}
	return 0;
}

/* ---- the whole ---- */

static void load_done(struct load *load)
{
	layout_free(load->layout);
	platform_done(&load->platform);
}

int action_load(struct image_store *store, const struct images_request *request, char ***names,
		struct error **ret_error)
{
	/* The file that says what is there, of each form; newer archives have all of them. */
	static const struct {
		const char *name;
		int (*load)(struct load *load, const char *text, size_t size,
			    struct error **ret_error);
	} forms[] = {
		{ "index.json", load_oci },
		{ "manifest.json", load_docker },
		{ "repositories", load_repositories },
	};
	_cleanup_(
	    load_done) struct load load = { .store = store, .request = request, .names = names };

	if (!request->file)
		return error_set(ret_error, EINVAL, "load: no file");
	if (platform_parse(request->options.platform, &load.platform, ret_error) < 0 ||
	    image_store_share(store, ret_error) < 0 ||
	    layout_open(request->file, image_store_path(store), &load.layout, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		_cleanup_error_ struct error *error = NULL;
		_cleanup_free_ char *text = NULL;
		size_t size;

		if (layout_read_file(load.layout, forms[i].name, MANIFEST_SIZE_MAX, &text, &size,
				     &error) == 0)
			return forms[i].load(&load, text, size, ret_error);
		if (error->code != ENOENT)
			return error_set(ret_error, error->code, "%s", error->message);
	}
	return error_set(ret_error, EBADMSG, "%s: neither an OCI layout nor a docker archive",
			 request->file);
}
