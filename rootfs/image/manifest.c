/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests, indexes and configurations: see manifest.h. */
#include "rootfs/image/manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/plain.h"
#include "rootfs/image/digest.h"

void descriptor_done(struct descriptor *descriptor)
{
	free(descriptor->media_type);
	free(descriptor->digest);
	*descriptor = (struct descriptor){ 0 };
}

void descriptor_put(struct json_writer *writer, const char *key, const char *type,
		    const char *digest, uint64_t size)
{
	if (key)
		json_put_key(writer, key);
	json_begin_object(writer);
	json_put_string(writer, "mediaType", type);
	json_put_string(writer, "digest", digest);
	json_put_uint64(writer, "size", size);
	json_end_object(writer);
}

struct json_writer *manifest_begin(const char *config_digest, uint64_t config_size)
{
	struct json_writer *writer = json_writer_new(false);

	json_begin_object(writer);
	json_put_uint64(writer, "schemaVersion", 2);
	json_put_string(writer, "mediaType", MEDIA_OCI_MANIFEST);
	descriptor_put(writer, "config", MEDIA_OCI_CONFIG, config_digest, config_size);
	json_put_key(writer, "layers");
	json_begin_array(writer);
	return writer;
}

char *manifest_finish(struct json_writer *writer, size_t *ret_size)
{
	json_end_array(writer);
	json_end_object(writer);
	return json_writer_finish(writer, ret_size);
}

static int read_descriptor(const struct json_at *at, uint64_t size_max,
			   struct descriptor *descriptor, struct error **ret_error)
{
	if (json_as_object(at, ret_error) < 0 ||
	    json_get_string(at, "mediaType", JSON_OPTIONAL, &descriptor->media_type, ret_error) <
		0 ||
	    json_get_string(at, "digest", JSON_REQUIRED, &descriptor->digest, ret_error) < 0 ||
	    json_get_uint64(at, "size", JSON_REQUIRED, size_max, &descriptor->size, ret_error) < 0)
		return -1;
	plain_text(descriptor->digest);
	if (!digest_valid(descriptor->digest))
		return json_error(at, ret_error, "\"%.80s\" is not a sha256 digest",
				  descriptor->digest);
	return 0;
}

bool manifest_is_index(const char *text, size_t size, const char *media_type)
{
	_cleanup_json_ yajl_val value = NULL;
	_cleanup_free_ char *own = NULL;
	struct json_at root, at;

	if (json_parse(text, size, "manifest", &value, NULL) < 0)
		return false;
	root = json_root(value);
	/* image-spec: an index need not say its type. */
	if (json_get_string(&root, "mediaType", JSON_OPTIONAL, &own, NULL) == 0 && own)
		media_type = own;
	if (media_type && (strcmp(media_type, MEDIA_OCI_INDEX) == 0 ||
			   strcmp(media_type, MEDIA_DOCKER_INDEX) == 0))
		return true;
	return !own && json_array(&root, "manifests", JSON_REQUIRED, &at, NULL) == 0;
}

/* ---- platforms ---- */

static const char *go_architecture(const char *machine)
{
	if (strcmp(machine, "x86_64") == 0)
		return "amd64";
	return strcmp(machine, "aarch64") == 0 ? "arm64" : machine;
}

static bool word_valid(const char *word)
{
	return word[0] && strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_.-") == strlen(word);
}

int platform_parse(const char *text, struct platform *ret_platform, struct error **ret_error)
{
	struct utsname name;
	_cleanup_free_ char *own = NULL, *copy = NULL;
	const char *os, *architecture;
	char *slash, *variant;

	if (!text) {
		if (uname(&name) < 0)
			return error_set_errno(ret_error, errno, "cannot tell this machine's type");
		own = xasprintf("linux/%s", go_architecture(name.machine));
		text = own;
	}
	copy = xstrdup(text);
	os = copy;
	architecture = copy;
	slash = strchr(copy, '/');
	variant = slash ? strchr(slash + 1, '/') : NULL;
	if (slash) {
		*slash = '\0';
		architecture = slash + 1;
	} else {
		os = "linux";
	}
	if (variant)
		*variant++ = '\0';
	architecture = go_architecture(architecture);
	if (!word_valid(os) || !word_valid(architecture) || (variant && !word_valid(variant)))
		return error_set(
		    ret_error, EINVAL,
		    "invalid platform \"%s\": it is OS/ARCHITECTURE[/VARIANT], such as "
		    "linux/amd64",
		    text);
	*ret_platform = (struct platform){ xstrdup(os), xstrdup(architecture), xstrdup(variant) };
	return 0;
}

void platform_done(struct platform *platform)
{
	free(platform->os);
	free(platform->architecture);
	free(platform->variant);
	*platform = (struct platform){ 0 };
}

static int read_platform(const struct json_at *manifest, struct platform *platform,
			 struct error **ret_error)
{
	struct json_at at;

	if (json_object(manifest, "platform", JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (json_get_string(&at, "os", JSON_OPTIONAL, &platform->os, ret_error) < 0 ||
	    json_get_string(&at, "architecture", JSON_OPTIONAL, &platform->architecture,
			    ret_error) < 0)
		return -1;
	return json_get_string(&at, "variant", JSON_OPTIONAL, &platform->variant, ret_error);
}

static bool platform_matches(const struct platform *got, const struct platform *wanted)
{
	if (!got->os || !got->architecture || strcmp(got->os, wanted->os) != 0 ||
	    strcmp(got->architecture, wanted->architecture) != 0)
		return false;
	return !wanted->variant || (got->variant && strcmp(got->variant, wanted->variant) == 0);
}

/* buildkit puts attestations into an index, as images of an unknown system. */
static void add_platform(char **list, const struct platform *platform)
{
	char *longer;

	if (!platform->os || !platform->architecture || strcmp(platform->os, "unknown") == 0 ||
	    strlen(*list) > 1000)
		return;
	longer = xasprintf("%s%s%s/%s%s%s", *list, (*list)[0] ? ", " : "", platform->os,
			   platform->architecture, platform->variant ? "/" : "",
			   platform->variant ? platform->variant : "");
	free(*list);
	plain_text(longer);
	*list = longer;
}

static bool is_image(const struct descriptor *descriptor)
{
	return !descriptor->media_type || strcmp(descriptor->media_type, MEDIA_OCI_MANIFEST) == 0 ||
	       strcmp(descriptor->media_type, MEDIA_DOCKER_MANIFEST) == 0;
}

/* The first that fits; one without a platform, if there is no other. */
static int choose(const struct json_at *manifests, const struct platform *wanted,
		  struct descriptor *ret_chosen, struct error **ret_error)
{
	_cleanup_free_ char *there = xstrdup("");
	const size_t n = json_length(manifests);

	for (size_t i = 0; i < n; i++) {
		struct json_at at = json_element(manifests, i);
		_cleanup_(descriptor_done) struct descriptor descriptor = { 0 };
		_cleanup_(platform_done) struct platform platform = { 0 };

		if (read_descriptor(&at, MANIFEST_SIZE_MAX, &descriptor, ret_error) < 0 ||
		    read_platform(&at, &platform, ret_error) < 0)
			return -1;
		if (is_image(&descriptor) &&
		    (platform_matches(&platform, wanted) || (n == 1 && !platform.os))) {
			*ret_chosen = descriptor;
			descriptor = (struct descriptor){ 0 };
			return 0;
		}
		add_platform(&there, &platform);
	}
	return error_set(ret_error, ENOENT, "no image for the platform %s/%s%s%s (there is: %s)",
			 wanted->os, wanted->architecture, wanted->variant ? "/" : "",
			 wanted->variant ? wanted->variant : "", there[0] ? there : "none");
}

int index_manifests(const struct json_at *root, struct json_at *ret_manifests,
		    struct error **ret_error)
{
	if (json_as_object(root, ret_error) < 0 ||
	    json_array(root, "manifests", JSON_REQUIRED, ret_manifests, ret_error) < 0)
		return -1;
	if (json_length(ret_manifests) > INDEX_MANIFESTS_MAX)
		return json_error(ret_manifests, ret_error, "more than %d manifests",
				  INDEX_MANIFESTS_MAX);
	return 0;
}

int index_choose(const char *text, size_t size, const struct platform *platform,
		 struct descriptor *ret_chosen, struct error **ret_error)
{
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root, manifests;

	if (json_parse(text, size, "index", &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (index_manifests(&root, &manifests, ret_error) < 0)
		return -1;
	return choose(&manifests, platform, ret_chosen, ret_error);
}

/* ---- manifests ---- */

void manifest_free(struct manifest *manifest)
{
	if (!manifest)
		return;
	descriptor_done(&manifest->config);
	for (size_t i = 0; i < manifest->n_layers; i++)
		descriptor_done(&manifest->layers[i]);
	free(manifest->layers);
	free(manifest);
}

static int read_layers(const struct json_at *root, struct manifest *manifest,
		       struct error **ret_error)
{
	struct json_at layers;
	size_t n;

	if (json_array(root, "layers", JSON_REQUIRED, &layers, ret_error) < 0)
		return -1;
	n = json_length(&layers);
	if (n > IMAGE_LAYERS_MAX)
		return json_error(&layers, ret_error, "more than %d layers", IMAGE_LAYERS_MAX);
	manifest->layers = xcalloc(n + 1, sizeof(*manifest->layers));
	manifest->n_layers = n;
	for (size_t i = 0; i < n; i++) {
		struct json_at at = json_element(&layers, i);

		if (read_descriptor(&at, IMAGE_LAYER_SIZE_MAX, &manifest->layers[i], ret_error) < 0)
			return -1;
	}
	return 0;
}

int manifest_parse(const char *text, size_t size, struct manifest **ret_manifest,
		   struct error **ret_error)
{
	_cleanup_(manifest_freep) struct manifest *manifest = xcalloc(1, sizeof(*manifest));
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root, config;
	uint64_t version = 2;

	if (size > MANIFEST_SIZE_MAX)
		return error_set(ret_error, EFBIG, "manifest: more than %u bytes",
				 MANIFEST_SIZE_MAX);
	if (json_parse(text, size, "manifest", &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_as_object(&root, ret_error) < 0 ||
	    json_get_uint64(&root, "schemaVersion", JSON_OPTIONAL, UINT64_MAX, &version,
			    ret_error) < 0)
		return error_wrap(ret_error, "manifest");
	if (version != 2)
		return error_set(ret_error, ENOTSUP,
				 "manifest: schema version %llu is not supported, only 2: push the "
				 "image again with a newer tool",
				 (unsigned long long)version);
	if (json_object(&root, "config", JSON_REQUIRED, &config, ret_error) < 0 ||
	    read_descriptor(&config, IMAGE_CONFIG_SIZE_MAX, &manifest->config, ret_error) < 0 ||
	    read_layers(&root, manifest, ret_error) < 0)
		return error_wrap(ret_error, "manifest");
	*ret_manifest = TAKE_PTR(manifest);
	return 0;
}

/* ---- configurations ---- */

void config_put_diff_ids(struct json_writer *writer, char *const *diff_ids)
{
	json_put_key(writer, "rootfs");
	json_begin_object(writer);
	json_put_string(writer, "type", "layers");
	json_put_strv(writer, "diff_ids", diff_ids);
	json_end_object(writer);
}

int config_diff_ids(const char *text, size_t size, size_t n_layers, char ***ret_diff_ids,
		    struct error **ret_error)
{
	_cleanup_json_ yajl_val value = NULL;
	_cleanup_strv_ char **diff_ids = NULL;
	struct json_at root, rootfs;

	if (json_parse(text, size, "image configuration", &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_as_object(&root, ret_error) < 0 ||
	    json_object(&root, "rootfs", JSON_REQUIRED, &rootfs, ret_error) < 0 ||
	    json_get_strv(&rootfs, "diff_ids", JSON_REQUIRED, &diff_ids, ret_error) < 0)
		return error_wrap(ret_error, "image configuration");
	if (strv_length(diff_ids) != n_layers)
		return error_set(ret_error, EINVAL,
				 "image configuration: %zu layers, and %zu in the manifest",
				 strv_length(diff_ids), n_layers);
	for (size_t i = 0; i < n_layers; i++)
		if (!digest_valid(diff_ids[i]))
			return error_set(ret_error, EINVAL,
					 "image configuration: rootfs.diff_ids[%zu]: not a sha256 "
					 "digest",
					 i);
	*ret_diff_ids = TAKE_PTR(diff_ids);
	return 0;
}

int config_check_platform(const char *text, size_t size, const struct platform *platform,
			  struct error **ret_error)
{
	_cleanup_(platform_done) struct platform got = { 0 };
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;

	if (json_parse(text, size, "image configuration", &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_as_object(&root, ret_error) < 0 ||
	    json_get_string(&root, "os", JSON_OPTIONAL, &got.os, ret_error) < 0 ||
	    json_get_string(&root, "architecture", JSON_OPTIONAL, &got.architecture, ret_error) < 0)
		return error_wrap(ret_error, "image configuration");
	/* Of a variant little is heard in practice, and older tools left both out. */
	if (!got.os || !got.architecture || !got.os[0] || !got.architecture[0] ||
	    (strcmp(got.os, platform->os) == 0 &&
	     strcmp(got.architecture, platform->architecture) == 0))
		return 0;
	plain_text(got.os);
	plain_text(got.architecture);
	return error_set(ret_error, ENOENT, "no image for the platform %s/%s (there is: %s/%s)",
			 platform->os, platform->architecture, got.os, got.architecture);
}
