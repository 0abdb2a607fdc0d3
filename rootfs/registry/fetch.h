/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a registry has: distribution-spec 1.1 "Pull", docker's token authentication.
 *
 *   start ─► transfer ─► 200, 206 ─► counted ─► DONE
 *              ▲  │ 401: a token, or a password, once
 *              │  │ 30x: the new place, without our credentials if it is another origin
 *              │  │ cut, 429, 5xx: later again, from where it broke off
 *              └──┘
 *
 * Everything a registry says is hostile: which hosts it sends us to, sizes, and bytes.  A blob has
 * exactly the size that its manifest says, or the fetch fails; more bytes than that are not
 * taken.  Credentials go to the registry's own origin and to the realm it names, which
 * must be https unless the registry itself is not.
 * Hashing is blob.h's, which fetches large blobs by several parts at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "rootfs/image/digest.h"
#include "rootfs/image/reference.h"
#include "rootfs/registry/hosts.h"
#include "rootfs/registry/http.h"

#define FETCH_REDIRECTS_MAX 10
#define FETCH_ATTEMPTS_MAX 5
#define FETCH_UNREACHED_MAX 2	  /* attempts, if the first ones reach nobody: it is not there */
#define FETCH_PROGRESS (1u << 20) /* bytes after which attempts are counted anew */
#define FETCH_RETRY_MS 500	  /* doubled each time, and as much again by chance */
#define FETCH_RETRY_AFTER_MAX_S 120

struct registry_options {
	const char *authfile;	     /* NULL: see credentials.h */
	const char *user, *password; /* in place of what files say; NULL: none */
	const char *cert_dir; /* *.crt, NAME.cert and .key; NULL: certs.d of docker and podman */
	bool insecure;	      /* any certificate, and HTTP where there is no TLS */
	bool unverified;      /* any certificate */
	uint64_t retry_ms;    /* 0: FETCH_RETRY_MS */
	const struct endpoint *endpoint; /* in place of the reference's host; NULL: none */
};

/* A repository of a registry.  One thread, as its http is, which outlives it, as the options'
 * strings do. */
struct registry;
int registry_open(struct http *http, const struct reference *reference,
		  const struct registry_options *options, struct registry **ret_registry,
		  struct error **ret_error);
void registry_free(struct registry *registry);
DEFINE_CLEANUP(struct registry, registry_free)

/* A manifest or index by tag or digest: its bytes (NUL behind them, not counted), digest and media
 * type (NULL: none).  `size` is what a descriptor says of it; 0: unknown.  Blocks. */
int registry_manifest(struct registry *registry, const char *wanted, uint64_t size,
		      char **ret_bytes, size_t *ret_size, char **ret_media_type,
		      char ret_digest[DIGEST_SIZE], struct error **ret_error);
/* Whether it lets us in: for `login`. Blocks. */
int registry_ping(struct registry *registry, struct error **ret_error);

/* A blob, or some bytes of it, from one connection at a time. */
struct fetch_part {
	const char *digest;
	uint64_t from, to; /* the bytes from `from` up to `to` */
	/* These bytes alone are asked for, and a server that sends others makes it fail with
	 * ERANGE. Else it asks for all that follows, and passes over what is before. */
	bool is_range;
	/* What comes, in order; it may take bytes from the start of what then goes to sink_fd (a
	 * pipe that does not block; -1: nowhere). `at`: their place in the blob. */
	int (*take)(void *data, uint64_t at, const uint8_t **bytes, size_t *size,
		    struct error **ret_error);
	void *data;
	int sink_fd;
	const char *place; /* where an earlier part was redirected to; NULL: not known */
};

struct fetch;
enum fetch_state { FETCH_RUNS, FETCH_DONE, FETCH_FAILED };
struct fetch *fetch_start(struct registry *registry, const struct fetch_part *part);
/* To be called after each http_step(); once it does not run any more, that stays so. */
enum fetch_state fetch_go_on(struct fetch *fetch);
/* Up to which byte it has come. */
uint64_t fetch_position(const struct fetch *fetch);
/* Where its bytes come from, if not from the registry itself; else NULL. */
const char *fetch_place(const struct fetch *fetch);
/* Why it has failed; the caller's. */
struct error *fetch_take_error(struct fetch *fetch);
void fetch_free(struct fetch *fetch);
DEFINE_CLEANUP(struct fetch, fetch_free)
/* Until it does not run any more. */
int fetch_wait(struct fetch *fetch, struct error **ret_error);
