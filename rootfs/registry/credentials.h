/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users' names and passwords for registries, where docker and podman keep them.
 *
 * Read, the first that has an answer: the file that was named, $REGISTRY_AUTH_FILE,
 * $XDG_RUNTIME_DIR/containers/auth.json, ~/.config/containers/auth.json, $DOCKER_CONFIG/config.json
 * or ~/.docker/config.json.  In each: credHelpers, then "auths" by the longest part of HOST/PATH,
 * then credsStore.  Written: the file that was named, $REGISTRY_AUTH_FILE, or docker's.
 */
#pragma once

#include "base/error.h"

struct credentials {
	char *user, *password; /* NULL: none */
	char *identity_token;  /* in place of both */
};
void credentials_done(struct credentials *credentials);

/* It is not an error if there is none. */
int credentials_find(const char *file, const char *host, const char *repository,
		     struct credentials *ret_credentials, struct error **ret_error);
int credentials_keep(const char *file, const char *host, const char *user, const char *password,
		     struct error **ret_error);
/* ENOENT: there are none. */
int credentials_forget(const char *file, const char *host, struct error **ret_error);
/* "Authorization: Basic …"; caller frees. */
char *credentials_basic(const char *user, const char *password);
