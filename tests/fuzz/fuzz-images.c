/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: what a registry says, and names of images.
 *
 * The first byte says which (modulo 4): a name, a WWW-Authenticate header, a manifest or index, a
 * configuration.  What is taken must keep what the headers promise.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "rootfs/image/digest.h"
#include "rootfs/image/manifest.h"
#include "rootfs/image/reference.h"
#include "rootfs/registry/challenge.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A name that was taken is taken again in its whole form, and stays the same. */
static void try_reference(const char *text)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_(reference_freep) struct reference *reference = NULL, *again = NULL;

	if (reference_parse(text, &reference, &error) < 0) {
		check(error && error->message[0] && !reference);
		return;
	}
	check((reference->tag || reference->digest) && !strpbrk(reference->name, " \n?#%"));
	check(!strstr(reference->host, "..") && !strstr(reference->repository, ".."));
	check(!reference->digest || digest_valid(reference->digest));
	check(reference_parse(reference->name, &again, NULL) == 0);
	check(strcmp(again->name, reference->name) == 0);
}

static bool is_plain(const char *text)
{
	for (; text && *text; text++)
		if ((unsigned char)*text < ' ')
			return false;
	return true;
}

static void try_challenge(const char *header)
{
	_cleanup_(challenges_freep) struct challenge *challenges = challenges_parse(header);
	size_t n = 0;

	for (const struct challenge *at = challenges; at->scheme; at++, n++)
		check(at->scheme[0] && is_plain(at->realm) && is_plain(at->service) &&
		      is_plain(at->scope));
	check(n <= CHALLENGES_MAX);
}

static void try_manifest(const char *text, size_t size)
{
	_cleanup_(manifest_freep) struct manifest *manifest = NULL;
	_cleanup_(descriptor_done) struct descriptor chosen = { 0 };
	_cleanup_(platform_done) struct platform platform = { 0 };

	check(platform_parse("linux/amd64", &platform, NULL) == 0);
	if (manifest_is_index(text, size, NULL)) {
		if (index_choose(text, size, &platform, &chosen, NULL) == 0)
			check(digest_valid(chosen.digest) && chosen.size <= MANIFEST_SIZE_MAX);
		return;
	}
	if (manifest_parse(text, size, &manifest, NULL) < 0)
		return;
	check(digest_valid(manifest->config.digest) && manifest->n_layers <= IMAGE_LAYERS_MAX &&
	      manifest->config.size <= IMAGE_CONFIG_SIZE_MAX);
	for (size_t i = 0; i < manifest->n_layers; i++)
		check(digest_valid(manifest->layers[i].digest) &&
		      manifest->layers[i].size <= IMAGE_LAYER_SIZE_MAX);
}

static void try_config(const char *text, size_t size)
{
	_cleanup_strv_ char **diff_ids = NULL;
	_cleanup_(platform_done) struct platform platform = { 0 };

	check(platform_parse("linux/amd64", &platform, NULL) == 0);
	(void)config_check_platform(text, size, &platform, NULL);
	if (config_diff_ids(text, size, 1, &diff_ids, NULL) == 0)
		check(strv_length(diff_ids) == 1 && digest_valid(diff_ids[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = NULL;

	if (size == 0)
		return 0;
	text = xstrndup((const char *)data + 1, size - 1);
	switch (data[0] % 4) {
	case 0:
		try_reference(text);
		break;
	case 1:
		try_challenge(text);
		break;
	case 2:
		try_manifest((const char *)data + 1, size - 1);
		break;
	default:
		try_config((const char *)data + 1, size - 1);
	}
	return 0;
}
