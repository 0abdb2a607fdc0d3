/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an image is fetched from, as containers-registries.conf(5) says, version 2: mirrors,
 * another location, registries that are blocked, and those without TLS that can be trusted.  Where
 * it says nothing of the image's name, containerd's hosts.toml (hosts.h) is asked.
 *
 * Read: $CONTAINERS_REGISTRIES_CONF, else ~/.config/containers/registries.conf, else
 * /etc/containers/registries.conf; then the *.conf of registries.conf.d there, in /etc before the
 * home directory, whose entries take the place of earlier ones of the same prefix.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "rootfs/image/reference.h"
#include "rootfs/registry/hosts.h"

struct source {
	struct reference *reference; /* of the image, there */
	bool insecure;		     /* any certificate, and HTTP where there is no TLS */
	struct endpoint *endpoint;   /* what hosts.toml says; NULL: the reference's host */
};
/* For messages. */
const char *source_host(const struct source *source);

/* In the order in which they are to be tried: mirrors, then the registry itself, so there is at
 * least one.  EPERM: it is blocked. sources_free(). */
int sources_find(const struct reference *reference, struct source **ret_sources, size_t *ret_n,
		 struct error **ret_error);
void sources_free(struct source *sources, size_t n);
