/* SPDX-License-Identifier: Apache-2.0 */
/* `pull`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/images.h"

struct pull_verb_options {
	const char *platform, *authfile, *cert_dir, *creds;
	bool quiet, insecure, keep_blobs;
};

static const struct option_def options[] = {
	{ "platform", 0, OPTION_STRING, offsetof(struct pull_verb_options, platform),
	  "OS/ARCHITECTURE[/VARIANT] of the image (default: this machine's)" },
	{ "quiet", 'q', OPTION_FLAG, offsetof(struct pull_verb_options, quiet),
	  "show no progress" },
	{ "insecure", 0, OPTION_FLAG, offsetof(struct pull_verb_options, insecure),
	  "take any certificate, and HTTP from a registry without TLS" },
	{ "creds", 0, OPTION_STRING, offsetof(struct pull_verb_options, creds),
	  "USER[:PASSWORD], in place of those of login" },
	{ "authfile", 0, OPTION_STRING, offsetof(struct pull_verb_options, authfile),
	  "the file with the registries' passwords" },
	{ "cert-dir", 0, OPTION_STRING, offsetof(struct pull_verb_options, cert_dir),
	  "a directory with certificates, as certs.d/HOST has them" },
	{ "keep-blobs", 0, OPTION_FLAG, offsetof(struct pull_verb_options, keep_blobs),
	  "keep the layers as they came, too: save writes these" },
	OPTION_END
};

static int run(const struct command *command, struct error **ret_error)
{
	const struct pull_verb_options *values = command->options;
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	_cleanup_(stored_image_freep) struct stored_image *image = NULL;
	_cleanup_free_ char *creds = xstrdup(values->creds);
	char *password = creds ? strchr(creds, ':') : NULL;
	struct pull_options pull = { .platform = values->platform,
				     .authfile = values->authfile,
				     .cert_dir = values->cert_dir,
				     .user = creds,
				     .password = "",
				     .insecure = values->insecure,
				     .quiet = values->quiet,
				     .keep_blobs = values->keep_blobs };

	if (password) {
		*password = '\0';
		pull.password = password + 1;
	}
	if (image_verb_open(command, &store, ret_error) < 0 ||
	    image_pull(store, command->args[0], &pull, &image, ret_error) < 0)
		return -1;
	printf("%s\n", image->name);
	return 0;
}

const struct verb verb_pull = {
	.name = "pull",
	.arguments = "<image>",
	.summary = "fetch an image from a registry",
	.description =
	    "A name without a host is docker.io's. What the image store has is not fetched\n"
	    "   again. Prints the image's whole name.",
	.options = options,
	.options_size = sizeof(struct pull_verb_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
