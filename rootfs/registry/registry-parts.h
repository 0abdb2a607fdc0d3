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
	char *authorization;		/* a header; NULL: none yet */
	char *ca_file;			/* NULL: the system's alone */
	char *client_cert, *client_key; /* NULL: none */
	struct credentials credentials;
	bool may_be_plain;	     /* HTTP in place of HTTPS */
	bool was_reached;	     /* somebody has answered */
	bool has_no_ranges;	     /* it does not give parts of blobs */
	size_t n_ranges, ranges_max; /* on their way at a time, of all blobs */
};

/* The URL is of the same scheme, host and port as the registry's. */
bool registry_is_own(const struct registry *registry, const char *url);
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
