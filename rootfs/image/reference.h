/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name of an image, as docker and podman write it: [HOST[:PORT]/]PATH[:TAG][@DIGEST].
 *
 * A name without a host is docker.io's; one of a single word is in its "library".  Without a
 * tag and a digest, the tag is "latest".  A first component is a host if it has a dot or a
 * colon, or is "localhost".
 */
#pragma once

#include "base/error.h"

#define REFERENCE_HOST_DEFAULT "docker.io"
#define REFERENCE_SIZE_MAX 512 /* bytes of a whole reference */
#define REFERENCE_PATH_MAX 255 /* host and path together, distribution's bound */
#define REFERENCE_TAG_MAX 128

struct reference {
	char *host;	  /* "docker.io", "localhost:5000", "[::1]:5000" */
	char *repository; /* "library/alpine" */
	char *tag;	  /* NULL: only if there is a digest */
	char *digest;	  /* NULL: none */
	char *name;	  /* the whole, with what was left out */
};

int reference_parse(const char *text, struct reference **ret_reference, struct error **ret_error);
void reference_free(struct reference *reference);
DEFINE_CLEANUP(struct reference, reference_free)
/* What a registry is asked for: the digest, else the tag. */
const char *reference_wanted(const struct reference *reference);
