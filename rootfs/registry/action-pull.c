/* SPDX-License-Identifier: Apache-2.0 */
/* `pull`, `login`, `logout`: see actions.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "rootfs/image/manifest.h"
#include "rootfs/registry/actions.h"
#include "rootfs/registry/blob.h"
#include "rootfs/registry/credentials.h"
#include "rootfs/registry/layers.h"
#include "rootfs/registry/sources.h"

struct pull {
	struct image_store *store;
	const struct images_request *request;
	struct platform platform;
	struct reference *reference;
	struct http *http;
	struct source *sources;
	size_t n_sources;
	struct registry *registry; /* of the source that is asked, or has answered */
	struct progress *progress; /* NULL: not begun */
	/* What came. */
	char *index, *manifest, *config;
	size_t index_size, manifest_size, config_size;
	char index_digest[DIGEST_SIZE], manifest_digest[DIGEST_SIZE];
	struct manifest *parsed;
	char **diff_ids;
};

static void pull_done(struct pull *pull)
{
	progress_free(pull->progress);
	platform_done(&pull->platform);
	reference_free(pull->reference);
	registry_free(pull->registry);
	sources_free(pull->sources, pull->n_sources);
	http_free(pull->http);
	free(pull->index);
	free(pull->manifest);
	free(pull->config);
	manifest_free(pull->parsed);
	strv_free(pull->diff_ids);
}

static int open_registry(struct pull *pull, const struct source *source, struct error **ret_error)
{
	const struct pull_options *given = &pull->request->options;
	const struct registry_options options = { .authfile = given->authfile,
						  .user = given->user,
						  .password = given->password,
						  .cert_dir = given->cert_dir,
						  .insecure = given->insecure || source->insecure,
						  .endpoint = source->endpoint };

	if (!pull->http && http_new(&pull->http, ret_error) < 0)
		return -1;
	return registry_open(pull->http, source->reference, &options, &pull->registry, ret_error);
}

/* The image's own manifest, by way of an index if there is one. */
static int get_manifest(struct pull *pull, struct error **ret_error)
{
	_cleanup_(descriptor_done) struct descriptor chosen = { 0 };
	_cleanup_free_ char *type = NULL, *type_of_chosen = NULL;

	if (registry_manifest(pull->registry, reference_wanted(pull->reference), 0, &pull->manifest,
			      &pull->manifest_size, &type, pull->manifest_digest, ret_error) < 0)
		return -1;
	if (!manifest_is_index(pull->manifest, pull->manifest_size, type))
		return 0;
	pull->index = TAKE_PTR(pull->manifest);
	pull->index_size = pull->manifest_size;
	(void)strcpy(pull->index_digest, pull->manifest_digest);
	if (index_choose(pull->index, pull->index_size, &pull->platform, &chosen, ret_error) < 0)
		return -1;
	return registry_manifest(pull->registry, chosen.digest, chosen.size, &pull->manifest,
				 &pull->manifest_size, &type_of_chosen, pull->manifest_digest,
				 ret_error);
}

static int get_config(struct pull *pull, struct error **ret_error)
{
	const struct descriptor *config;

	if (manifest_parse(pull->manifest, pull->manifest_size, &pull->parsed, ret_error) < 0)
		return -1;
	config = &pull->parsed->config;
	if (registry_blob(pull->registry, config->digest, config->size, &pull->config, ret_error) <
	    0)
		return -1;
	pull->config_size = (size_t)config->size;
	if (config_check_platform(pull->config, pull->config_size, &pull->platform, ret_error) < 0)
		return -1;
	return config_diff_ids(pull->config, pull->config_size, pull->parsed->n_layers,
			       &pull->diff_ids, ret_error);
}

/* All but the layers. */
static int ask(struct pull *pull, const struct source *source, struct error **ret_error)
{
	_cleanup_free_ char *words = xasprintf("connecting to %s", source_host(source));

	progress_tell(pull->progress, words);
	if (open_registry(pull, source, ret_error) == 0 && get_manifest(pull, ret_error) == 0 &&
	    get_config(pull, ret_error) == 0)
		return 0;
	registry_free(TAKE_PTR(pull->registry));
	free(TAKE_PTR(pull->index));
	free(TAKE_PTR(pull->manifest));
	free(TAKE_PTR(pull->config));
	manifest_free(TAKE_PTR(pull->parsed));
	return -1;
}

/* Of the sources, the first one that has the image. */
static int ask_in_turn(struct pull *pull, struct error **ret_error)
{
	int result = -1;

	if (sources_find(pull->reference, &pull->sources, &pull->n_sources, ret_error) < 0)
		return -1;
	for (size_t i = 0; result < 0 && i < pull->n_sources; i++) {
		const struct source *source = &pull->sources[i];
		_cleanup_error_ struct error *error = NULL;
		const bool is_last = i + 1 == pull->n_sources;

		result = ask(pull, source, is_last ? ret_error : &error);
		if (result < 0 && !is_last)
			log_warning("mirror %s: %s", source_host(source), error->message);
	}
	return result;
}

static int get_layers(struct pull *pull, struct error **ret_error)
{
	const struct layers_setup setup = { .store = pull->store,
					    .manifest = pull->parsed,
					    .diff_ids = pull->diff_ids,
					    .keep_blobs = pull->request->options.keep_blobs,
					    .progress = pull->progress,
					    .registry = pull->registry,
					    .http = pull->http };

	return layers_pull(&setup, ret_error);
}

/* The name comes last: it says that all is there. */
static int keep(struct pull *pull, struct error **ret_error)
{
	char digest[DIGEST_SIZE];

	if (pull->index &&
	    image_store_put_blob(pull->store, pull->index, pull->index_size, digest, ret_error) < 0)
		return -1;
	if (image_store_put_blob(pull->store, pull->config, pull->config_size, digest, ret_error) <
		0 ||
	    image_store_put_blob(pull->store, pull->manifest, pull->manifest_size, digest,
				 ret_error) < 0)
		return -1;
	return image_store_set_name(pull->store, pull->reference, pull->manifest_digest,
				    pull->index ? pull->index_digest : NULL, ret_error);
}

int action_pull(struct image_store *store, const struct images_request *request, char ***names,
		struct error **ret_error)
{
	_cleanup_(pull_done) struct pull pull = { .store = store, .request = request };

	if (reference_parse(request->reference, &pull.reference, ret_error) < 0 ||
	    platform_parse(request->options.platform, &pull.platform, ret_error) < 0 ||
	    image_store_share(store, ret_error) < 0)
		return -1;
	pull.progress = progress_new(request->options.quiet);
	if (ask_in_turn(&pull, ret_error) < 0 || get_layers(&pull, ret_error) < 0 ||
	    keep(&pull, ret_error) < 0)
		return error_wrap(ret_error, "cannot pull %s", pull.reference->name);
	strv_append(names, pull.reference->name);
	return 0;
}

/* ---- passwords ---- */

/* A host, as it stands in a reference. */
static int parse_host(const char *host, struct reference **ret_reference, struct error **ret_error)
{
	_cleanup_(reference_freep) struct reference *reference = NULL;
	_cleanup_free_ char *name = xasprintf("%s/login", host);

	if (reference_parse(name, &reference, NULL) < 0 || !strpbrk(host, ".:") ||
	    strchr(host, '/')) {
		if (strcmp(host, "localhost") != 0)
			return error_set(ret_error, EINVAL, "\"%.200s\" is not a registry's host",
					 host);
	}
	*ret_reference = TAKE_PTR(reference);
	return 0;
}

/* The registry itself: no mirror is logged in to by another name. */
static int ping(struct pull *pull, struct error **ret_error)
{
	const struct source *last;

	if (sources_find(pull->reference, &pull->sources, &pull->n_sources, ret_error) < 0)
		return -1;
	last = &pull->sources[pull->n_sources - 1];
	if (open_registry(pull, &(struct source){ pull->reference, last->insecure, last->endpoint },
			  ret_error) < 0)
		return -1;
	return registry_ping(pull->registry, ret_error);
}

int action_login(const struct images_request *request, char ***names, struct error **ret_error)
{
	_cleanup_(pull_done) struct pull pull = { .request = request };
	const struct pull_options *options = &request->options;

	if (parse_host(request->reference, &pull.reference, ret_error) < 0)
		return -1;
	if (!options->user || !options->user[0])
		return error_set(ret_error, EINVAL, "login: the username is empty");
	if (!options->password || !options->password[0])
		return error_set(ret_error, EINVAL, "login: the password is empty");
	if (ping(&pull, ret_error) < 0)
		return error_wrap(ret_error, "cannot log in to %s", pull.reference->host);
	strv_append(names, pull.reference->host);
	return credentials_keep(options->authfile, pull.reference->host, options->user,
				options->password, ret_error);
}

int action_logout(const struct images_request *request, char ***names, struct error **ret_error)
{
	_cleanup_(reference_freep) struct reference *reference = NULL;

	if (parse_host(request->reference, &reference, ret_error) < 0)
		return -1;
	strv_append(names, reference->host);
	return credentials_forget(request->options.authfile, reference->host, ret_error);
}
