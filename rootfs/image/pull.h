/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting images, by the program supermachine-images: it alone links libcurl and libarchive, and
 * what registries and archives say is read there.
 *
 * It takes one JSON document on its standard input:
 *   {"do": "pull", "load", "save", "import", "login" or "logout", "store": DIRECTORY, "reference":
 * NAME, "references": [NAME…], "file": PATH, "message": TEXT, "author": TEXT, "config": TEXT,
 * "base": DIGEST,
 * "platform": …, "authfile": …,
 * "cert_dir": …, "user": …, "password": …, "insecure": bool, "quiet": bool, "keep_blobs": bool} and
 * answers with one on its standard output, {"names": [NAME…]} or {"error": TEXT, "code": N}. What
 * it does meanwhile is told on its standard error.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "rootfs/image/store.h"

#define IMAGES_PROGRAM "supermachine-images"

struct pull_options {
	const char *platform; /* OS/ARCHITECTURE[/VARIANT]; NULL: this machine's */
	const char *authfile; /* NULL: docker's and podman's */
	const char *cert_dir; /* as containers-certs.d(5); NULL: that of docker or podman */
	const char *user, *password;
	bool insecure;	 /* any certificate, or no TLS */
	bool quiet;	 /* nothing on the standard error */
	bool keep_blobs; /* layers as they came are kept too, for `save` */
};

struct images_request {
	const char *action;	      /* "do" */
	const char *reference, *file; /* file "-": the caller's standard input, or output */
	const char *message;	      /* of an import; NULL: "Imported" */
	const char *author, *config;  /* of an import; its `config` as text; may be NULL */
	const char *base; /* of an import: the manifest of an image, above whose layers it comes */
	const char *const *references; /* ends with NULL; may be NULL */
	struct pull_options options;
};

/* Blocks; ret_names (strv_free()) may be NULL.  ENOTSUP: this build is without images. */
int images_do(struct image_store *store, const struct images_request *request, char ***ret_names,
	      struct error **ret_error);
/* Pulls an image, or what of it is not here; options may be NULL.  ret_image may be NULL. */
int image_pull(struct image_store *store, const char *reference, const struct pull_options *options,
	       struct stored_image **ret_image, struct error **ret_error);
