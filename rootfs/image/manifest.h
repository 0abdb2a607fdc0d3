/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests, indexes and configurations of images: image-spec 1.1 and docker's schema 2.
 *
 * All of them come from the image's author.  What is taken here has valid digests, sizes
 * within the bounds below, and as many layers in its manifest as in its configuration.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"

#define MANIFEST_SIZE_MAX (4u << 20)
#define IMAGE_CONFIG_SIZE_MAX (8u << 20)
#define IMAGE_LAYERS_MAX 256
#define IMAGE_LAYER_SIZE_MAX (1ULL << 40)
#define INDEX_MANIFESTS_MAX 1024

#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar.gzip"
#define MEDIA_DOCKER_INDEX "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"

struct descriptor {
	char *media_type; /* NULL: not said */
	char *digest;
	uint64_t size;
};
void descriptor_done(struct descriptor *descriptor);
/* The same, written: image-spec descriptor.md.  key NULL: as an array's element. */
void descriptor_put(struct json_writer *writer, const char *key, const char *type,
		    const char *digest, uint64_t size);

/* An image's manifest, as image-spec manifest.md has it, up to its layers: each follows by
 * descriptor_put(NULL, …), then manifest_finish() gives the text (caller frees). */
struct json_writer *manifest_begin(const char *config_digest, uint64_t config_size);
char *manifest_finish(struct json_writer *writer, size_t *ret_size);

struct platform {
	char *os, *architecture, *variant; /* variant: NULL for any */
};
/* "linux/amd64", "linux/arm/v7", "amd64"; NULL: this machine's. */
int platform_parse(const char *text, struct platform *ret_platform, struct error **ret_error);
void platform_done(struct platform *platform);

struct manifest {
	struct descriptor config;
	size_t n_layers;
	struct descriptor *layers; /* lowest first */
};

/* The manifests of an index, or of a layout's index.json, as many as may be: image-spec
 * image-index.md. root must outlive them. */
int index_manifests(const struct json_at *root, struct json_at *ret_manifests,
		    struct error **ret_error);

/* The text is an index, by its own words or by the media type it came with (NULL: none). */
bool manifest_is_index(const char *text, size_t size, const char *media_type);
/* The image manifest of this platform; ENOENT with a list of those there are. */
int index_choose(const char *text, size_t size, const struct platform *platform,
		 struct descriptor *ret_chosen, struct error **ret_error);
int manifest_parse(const char *text, size_t size, struct manifest **ret_manifest,
		   struct error **ret_error);
void manifest_free(struct manifest *manifest);
DEFINE_CLEANUP(struct manifest, manifest_free)

/* The member "rootfs" of a configuration with these layers, lowest first. */
void config_put_diff_ids(struct json_writer *writer, char *const *diff_ids);
/* rootfs.diff_ids of a configuration, exactly n_layers of them (strv_free()). */
int config_diff_ids(const char *text, size_t size, size_t n_layers, char ***ret_diff_ids,
		    struct error **ret_error);
/* The configuration's os and architecture are the wanted ones. */
int config_check_platform(const char *text, size_t size, const struct platform *platform,
			  struct error **ret_error);
