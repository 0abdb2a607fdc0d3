/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an image is fetched from, as containerd's hosts.toml says (its docs/hosts.md): mirrors in
 * their order, then the server, each with its certificates, headers and path.
 *
 * Read: hosts.toml in HOST_PORT_, HOST or _default, whichever is there first, of
 * ~/.config/containerd/certs.d, else of /etc/containerd/certs.d.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "rootfs/image/reference.h"

/* A host of the file's. */
struct endpoint {
	char *url;	/* scheme, host and port */
	char *host;	/* and port */
	char *api;	/* the path of the API: "/v2", or what stands for it */
	bool is_mirror; /* not the host of the image's name: it is asked with "ns" */
	bool skip_verify;
	char **ca_files;		/* NULL: none */
	char *client_cert, *client_key; /* NULL: none; one file may have both */
	char **headers;			/* "Name: value" */
};
void endpoint_free(struct endpoint *endpoint);
DEFINE_CLEANUP(struct endpoint, endpoint_free)

/* Those that give the image, in the order in which they are to be tried (free each, and the list,
 * which ends with NULL); NULL: there is no file for its host. A host without the capability
 * "resolve" is one for images by digest only. */
int hosts_find(const struct reference *reference, struct endpoint ***ret_endpoints,
	       struct error **ret_error);
void endpoints_free(struct endpoint **endpoints);
