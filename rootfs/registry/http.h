/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP by libcurl's multi interface: many transfers at a time, over few connections (HTTP/2 where
 * the server speaks it).  One thread.
 *
 * What a server says is bounded here: the size of headers and bodies, the time to connect, and how
 * long it may send next to nothing.  No redirect is followed and no credential kept: fetch.h does.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

struct http;
struct http_transfer;

#define HTTP_CONNECT_MS 10000
#define HTTP_STALL_S 60 /* less than HTTP_STALL_BYTES a second for so long: given up */
#define HTTP_STALL_BYTES 64
#define HTTP_SMALL_MS 120000  /* a transfer into memory, the whole of it */
#define HTTP_CHALLENGES_MAX 8 /* WWW-Authenticate headers that are looked at */

int http_new(struct http **ret_http, struct error **ret_error);
void http_free(struct http *http); /* all transfers are freed before */
DEFINE_CLEANUP(struct http, http_free)
/* For tests: less patience. */
void http_set_patience(struct http *http, long connect_ms, long stall_s);

struct http_response {
	long status;
	char *content_type; /* without parameters, lower case; NULL: none */
	char *redirect;	    /* an absolute URL; NULL: none */
	char **challenges;  /* WWW-Authenticate, each as it came */
	uint64_t retry_after_s;
	bool has_range; /* 206: the first byte is range_start */
	uint64_t range_start;
	struct buffer body; /* NUL behind it, not counted */
};

struct http_request {
	const char *url;
	char *const *headers;		      /* "Name: value" */
	const char *body;		      /* a form, posted; NULL: GET */
	const char *ca_file;		      /* trusted beside the system's; NULL: none */
	const char *client_cert, *client_key; /* PEM files; NULL: none */
	bool unverified;		      /* takes any certificate */
	size_t body_max;		      /* of what is kept in memory; more is EFBIG */
	/* With it, the body of a 200 or 206 is not kept: each piece of it is shown to `piece`,
	 * which may take bytes from its start, and goes to sink_fd (-1: nowhere), a pipe that does
	 * not block.  While the pipe is full, the server is not read. */
	int (*piece)(void *data, const struct http_response *response, const uint8_t **bytes,
		     size_t *size, struct error **ret_error);
	void *data;
	int sink_fd;
};

/* The strings stay the caller's only until this returns. */
struct http_transfer *http_start(struct http *http, const struct http_request *request);
#define HTTP_OTHERS_MAX 8
/* Goes on with all transfers; waits for something to happen, or for one of `others` (at most
 * HTTP_OTHERS_MAX; POLLIN or POLLOUT; revents stay as they are), at most timeout_ms. */
void http_step(struct http *http, const struct pollfd *others, size_t n_others, int timeout_ms);
/* The response is whole, its body has gone to the sink; or it has failed. */
bool http_transfer_ended(const struct http_transfer *transfer);
/* Of one that has ended: NULL, or why it has failed. EAGAIN: trying again may help. */
const struct error *http_transfer_error(const struct http_transfer *transfer);
/* Of one that has failed: the server was never reached, so it has heard nothing. */
bool http_transfer_unreached(const struct http_transfer *transfer);
/* The SSL handshake failed, or nobody listens: there may be a server without TLS. */
bool http_transfer_no_tls(const struct http_transfer *transfer);
struct http_response *http_transfer_response(struct http_transfer *transfer);
void http_transfer_free(struct http_transfer *transfer);
DEFINE_CLEANUP(struct http_transfer, http_transfer_free)
