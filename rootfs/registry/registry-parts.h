/* SPDX-License-Identifier: Apache-2.0 */
/* What fetch.c and registry.c share: see fetch.h. */
#pragma once

#include "rootfs/registry/credentials.h"
#include "rootfs/registry/fetch.h"

#define REGISTRY_RANGES_MAX 8

struct registry {
	struct http *http;
	struct registry_options options;
	char *host, *repository;
	char *base;			/* "https://HOST" */
	const char *api;		/* "/v2", or another path below it */
	const char *asked_for;		/* of a mirror: the host of the name; NULL: its own */
	char *authorization;		/* a header; NULL: none yet */
	char *ca_file;			/* NULL: the system's alone */
	int ca_fd;			/* has several, joined; -1: none */
	char *client_cert, *client_key; /* NULL: none */
	struct credentials credentials;
	bool may_be_plain;	     /* HTTP in place of HTTPS */
	bool was_reached;	     /* somebody has answered */
	bool is_login;		     /* of the registry, not of a repository */
	bool has_no_ranges;	     /* it does not give parts of blobs */
	size_t n_ranges, ranges_max; /* on their way at a time, of all blobs */
};

/* HOST[:PORT][/…] is this machine. */
bool registry_is_loopback(const char *host);
/* The URL is of the same scheme, host and port as the registry's. */
bool registry_is_own(const struct registry *registry, const char *url);
/* "/v2/NAME/KIND/WHAT"; caller frees. */
char *registry_path(const struct registry *registry, const char *kind, const char *what);
/* What a request to the registry itself says of us. */
void registry_add_headers(const struct registry *registry, char ***headers);
/* It has said that there were too many requests. */
void registry_ask_less(struct registry *registry);
/* There is no TLS: HTTP from now on, if it may be. False: it may not. */
bool registry_fall_back(struct registry *registry);
/* Answers a 401 with these challenges: registry->authorization is new. Blocks. */
int registry_authorize(struct registry *registry, char *const *challenges,
		       struct error **ret_error);
/* What went wrong, from a response that is not a success. */
int registry_refused(const struct registry *registry, const char *what,
		     const struct http_response *response, struct error **ret_error);
/* A transfer that may go to any host. */
struct http_transfer *registry_start(struct registry *registry, struct http_request *request);
