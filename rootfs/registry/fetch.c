/* SPDX-License-Identifier: Apache-2.0 */
/* One thing of a registry, or a part of it, through all that may happen on the way: see fetch.h. */
#include "rootfs/registry/fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "rootfs/image/manifest.h"
#include "rootfs/registry/registry-parts.h"

#define NS_PER_MS 1000000ULL

struct fetch {
	struct registry *registry;
	struct http_transfer *transfer; /* NULL: none now */
	enum fetch_state state;
	struct error *error;
	char *path;	     /* below the base */
	char *what;	     /* for messages */
	char *const *accept; /* headers */
	char *elsewhere;     /* where a redirect leads; NULL: nowhere */
	unsigned redirects, authorized, attempts;
	uint64_t not_before_ns; /* without a transfer: when the next one starts */
	bool is_place_known;	/* it led an earlier part there */
	/* A blob. Else the body stays in the transfer. */
	bool is_blob;
	struct fetch_part part;
	uint64_t position, last_position; /* of what has been taken */
	uint64_t sent;			  /* position of the next byte of this transfer */
	bool is_placed;			  /* `sent` is known */
};

/* ---- the bytes ---- */

static int place(struct fetch *fetch, const struct http_response *response,
		 struct error **ret_error)
{
	const bool is_part = response->status == 206;

	if (fetch->part.is_range && !is_part)
		return error_set(ret_error, ERANGE, "the registry gives no ranges");
	if (is_part && (!response->has_range || response->range_start != fetch->position))
		return error_set(ret_error, fetch->part.is_range ? ERANGE : EBADMSG,
				 "the registry sent another range than it was asked for");
	fetch->is_placed = true;
	fetch->sent = is_part ? response->range_start : 0;
	return 0;
}

static int take_piece(void *data, const struct http_response *response, const uint8_t **bytes,
		      size_t *size, struct error **ret_error)
{
	struct fetch *fetch = data;
	const struct fetch_part *part = &fetch->part;
	size_t taken;

	if (!fetch->is_placed && place(fetch, response, ret_error) < 0)
		return -1;
	/* A server without ranges begins anew: what we have is passed over. */
	if (fetch->sent < fetch->position) {
		const uint64_t known = fetch->position - fetch->sent;
		const size_t skip = *size < known ? *size : (size_t)known;

		fetch->sent += skip;
		*bytes += skip;
		*size -= skip;
	}
	taken = *size;
	if (taken > part->to - fetch->position && part->is_range)
		return error_set(ret_error, ERANGE, "the registry sent more than it was asked for");
	if (taken > part->to - fetch->position)
		return error_set(ret_error, EBADMSG,
				 "longer than the %llu bytes that its manifest says",
				 (unsigned long long)part->to);
	if (part->take(part->data, fetch->position, bytes, size, ret_error) < 0)
		return -1;
	fetch->sent += taken;
	fetch->position += taken;
	return 0;
}

/* ---- transfers ---- */

/* RFC 9110 "Range": both ends are meant. */
static void add_range(const struct fetch *fetch, char ***headers)
{
	_cleanup_free_ char *range = NULL;

	if (fetch->part.is_range)
		range = xasprintf("Range: bytes=%llu-%llu", (unsigned long long)fetch->position,
				  (unsigned long long)fetch->part.to - 1);
	else if (fetch->position > 0)
		range = xasprintf("Range: bytes=%llu-", (unsigned long long)fetch->position);
	if (range)
		strv_append(headers, range);
}

static void begin(struct fetch *fetch)
{
	struct registry *registry = fetch->registry;
	_cleanup_free_ char *own = xasprintf("%s%s", registry->base, fetch->path);
	const char *url = fetch->elsewhere ? fetch->elsewhere : own;
	_cleanup_strv_ char **headers = NULL;
	struct http_request request = { .url = url,
					.body_max = MANIFEST_SIZE_MAX,
					.piece = fetch->is_blob ? take_piece : NULL,
					.data = fetch,
					.sink_fd = fetch->part.sink_fd };

	for (size_t i = 0; fetch->accept && fetch->accept[i]; i++)
		strv_append(&headers, fetch->accept[i]);
	if (registry_is_own(registry, url))
		registry_add_headers(registry, &headers);
	add_range(fetch, &headers);
	request.headers = headers;
	fetch->is_placed = false;
	fetch->transfer = registry_start(registry, &request);
}

static struct fetch *new_fetch(struct registry *registry, const char *what, char *path)
{
	struct fetch *fetch = xcalloc(1, sizeof(*fetch));

	fetch->registry = registry;
	fetch->what = xstrdup(what);
	fetch->path = path;
	fetch->part.sink_fd = -1;
	return fetch;
}

struct fetch *fetch_start(struct registry *registry, const struct fetch_part *part)
{
	struct fetch *fetch =
	    new_fetch(registry, part->digest, registry_path(registry, "blobs", part->digest));

	fetch->is_blob = true;
	fetch->part = *part;
	fetch->part.digest = fetch->what;
	fetch->part.place = NULL;
	fetch->elsewhere = xstrdup(part->place);
	fetch->is_place_known = part->place;
	fetch->position = fetch->last_position = part->from;
	begin(fetch);
	return fetch;
}

void fetch_free(struct fetch *fetch)
{
	if (!fetch)
		return;
	http_transfer_free(fetch->transfer);
	error_free(fetch->error);
	free(fetch->path);
	free(fetch->what);
	free(fetch->elsewhere);
	free(fetch);
}

uint64_t fetch_position(const struct fetch *fetch)
{
	return fetch->position;
}

const char *fetch_place(const struct fetch *fetch)
{
	return fetch->elsewhere;
}

struct error *fetch_take_error(struct fetch *fetch)
{
	return TAKE_PTR(fetch->error);
}

/* ---- what happened ---- */

static void again(struct fetch *fetch, uint64_t delay_ms)
{
	http_transfer_free(TAKE_PTR(fetch->transfer));
	fetch->not_before_ns = clock_monotonic_ns() + delay_ms * NS_PER_MS;
}

/* Back to the registry, to say again where it is. */
static void leave_place(struct fetch *fetch)
{
	free(TAKE_PTR(fetch->elsewhere));
	fetch->is_place_known = false;
	fetch->redirects = 0;
}

static uint64_t retry_delay(const struct fetch *fetch)
{
	const uint64_t delay = fetch->registry->options.retry_ms << (fetch->attempts - 1);
	uint16_t chance = 0;

	(void)getrandom(&chance, sizeof(chance), GRND_NONBLOCK);
	return delay + delay * chance / UINT16_MAX;
}

/* Later again; -1: often enough.  The place is the registry's to say again: a redirect's may have
 * had its time. */
static int retry(struct fetch *fetch, uint64_t wish_s, const char *why)
{
	unsigned most = FETCH_ATTEMPTS_MAX;
	uint64_t delay;

	/* (By then a token may have had its time, too.) */
	if (fetch->position - fetch->last_position >= FETCH_PROGRESS)
		fetch->attempts = fetch->authorized = 0;
	fetch->last_position = fetch->position;
	if (!fetch->registry->was_reached && http_transfer_unreached(fetch->transfer))
		most = FETCH_UNREACHED_MAX;
	if (++fetch->attempts >= most || wish_s > FETCH_RETRY_AFTER_MAX_S)
		return -1;
	delay = retry_delay(fetch);
	if (wish_s * 1000 > delay)
		delay = wish_s * 1000;
	log_debug("%s: %s: trying again in %llu ms", fetch->what, why, (unsigned long long)delay);
	leave_place(fetch);
	again(fetch, delay);
	return 0;
}

static int check_whole(struct fetch *fetch)
{
	const struct fetch_part *part = &fetch->part;

	if (fetch->position < part->to) {
		if (retry(fetch, 0, "it was cut off") == 0)
			return 0;
		return error_set(&fetch->error, EBADMSG, "%s: received %llu of %llu bytes",
				 fetch->what, (unsigned long long)(fetch->position - part->from),
				 (unsigned long long)(part->to - part->from));
	}
	fetch->state = FETCH_DONE;
	return 0;
}

static int on_failure(struct fetch *fetch, const struct error *error)
{
	/* All that was wanted is here. */
	if (fetch->is_blob && fetch->position == fetch->part.to && error->code == EAGAIN)
		return check_whole(fetch);
	if (http_transfer_no_tls(fetch->transfer) && !fetch->elsewhere && fetch->position == 0 &&
	    registry_fall_back(fetch->registry)) {
		again(fetch, 0);
		return 0;
	}
	if (error->code == EAGAIN && retry(fetch, 0, error->message) == 0)
		return 0;
	return error_set(&fetch->error, error->code == EAGAIN ? EIO : error->code,
			 "cannot fetch %s: %s", fetch->what, error->message);
}

static int on_challenge(struct fetch *fetch, const struct http_response *response)
{
	/* Another host than the registry's learns nothing from us. */
	if (fetch->elsewhere && !registry_is_own(fetch->registry, fetch->elsewhere))
		return -1;
	if (fetch->authorized++ > 0)
		return -1;
	if (registry_authorize(fetch->registry, response->challenges, &fetch->error) < 0)
		return -1;
	again(fetch, 0);
	return 0;
}

static int on_redirect(struct fetch *fetch, const struct http_response *response)
{
	const char *to = response->redirect;

	if (++fetch->redirects > FETCH_REDIRECTS_MAX)
		return error_set(&fetch->error, ELOOP, "%s: more than %d redirects", fetch->what,
				 FETCH_REDIRECTS_MAX);
	if (strncasecmp(to, "https://", 8) != 0 && strncmp(fetch->registry->base, "https:", 6) == 0)
		return error_set(&fetch->error, EPERM,
				 "%s: the registry redirects away from TLS: refused", fetch->what);
	free(fetch->elsewhere);
	fetch->elsewhere = xstrdup(to);
	again(fetch, 0);
	return 0;
}

static bool asks_for_range(const struct fetch *fetch)
{
	return fetch->part.is_range || fetch->position > 0;
}

static int on_response(struct fetch *fetch, const struct http_response *response)
{
	const long status = response->status;

	if (status == 200 || (status == 206 && fetch->is_blob && asks_for_range(fetch))) {
		if (fetch->is_blob)
			return check_whole(fetch);
		fetch->state = FETCH_DONE;
		return 0;
	}
	/* The place was another part's, and may have had its time. */
	if (status >= 400 && fetch->is_place_known) {
		leave_place(fetch);
		again(fetch, 0);
		return 0;
	}
	if (status == 416 && fetch->part.is_range)
		return error_set(&fetch->error, ERANGE, "%s: the registry gives no ranges",
				 fetch->what);
	if (status == 401 && on_challenge(fetch, response) == 0)
		return 0;
	if (status >= 301 && status <= 308 && response->redirect)
		return on_redirect(fetch, response);
	if (status == 429)
		registry_ask_less(fetch->registry);
	if ((status == 429 || status == 408 || status >= 500) &&
	    retry(fetch, response->retry_after_s, "the registry is busy") == 0)
		return 0;
	if (!fetch->error)
		(void)registry_refused(fetch->registry, fetch->what, response, &fetch->error);
	return -1;
}

enum fetch_state fetch_go_on(struct fetch *fetch)
{
	const struct error *error;

	if (fetch->state != FETCH_RUNS)
		return fetch->state;
	if (!fetch->transfer) {
		if (clock_monotonic_ns() >= fetch->not_before_ns)
			begin(fetch);
		return FETCH_RUNS;
	}
	if (!http_transfer_ended(fetch->transfer))
		return FETCH_RUNS;
	error = http_transfer_error(fetch->transfer);
	fetch->registry->was_reached = fetch->registry->was_reached || !error;
	if (error ? on_failure(fetch, error) < 0
		  : on_response(fetch, http_transfer_response(fetch->transfer)) < 0)
		fetch->state = FETCH_FAILED;
	return fetch->state;
}

/* ---- into memory ---- */

int fetch_wait(struct fetch *fetch, struct error **ret_error)
{
	while (fetch_go_on(fetch) == FETCH_RUNS)
		http_step(fetch->registry->http, NULL, 0, fetch->transfer ? 1000 : 10);
	if (fetch->state == FETCH_DONE)
		return 0;
	if (ret_error)
		*ret_error = fetch_take_error(fetch);
	return -1;
}

int registry_manifest(struct registry *registry, const char *wanted, uint64_t size,
		      char **ret_bytes, size_t *ret_size, char **ret_media_type,
		      char ret_digest[DIGEST_SIZE], struct error **ret_error)
{
	/* Each by name: an OCI manifest is not among "anything" for every registry. */
	static char *const accept[] = { "Accept: " MEDIA_OCI_INDEX ", " MEDIA_OCI_MANIFEST
					", " MEDIA_DOCKER_INDEX ", " MEDIA_DOCKER_MANIFEST,
					NULL };
	_cleanup_(fetch_freep) struct fetch *fetch =
	    new_fetch(registry, wanted, registry_path(registry, "manifests", wanted));
	char digest[DIGEST_SIZE];
	struct http_response *response;

	fetch->accept = accept;
	begin(fetch);
	if (fetch_wait(fetch, ret_error) < 0)
		return -1;
	response = http_transfer_response(fetch->transfer);
	if (size && buffer_length(&response->body) != size)
		return error_set(ret_error, EBADMSG, "%s: %zu bytes, and %llu in its index", wanted,
				 buffer_length(&response->body), (unsigned long long)size);
	if (digest_of(buffer_data(&response->body), buffer_length(&response->body), digest,
		      ret_error) < 0)
		return -1;
	if (digest_valid(wanted) && strcmp(digest, wanted) != 0)
		return error_set(ret_error, EBADMSG, "%s: the received data has the digest %s",
				 wanted, digest);
	(void)strcpy(ret_digest, digest);
	*ret_size = buffer_length(&response->body);
	*ret_bytes = xmemdup(buffer_data(&response->body), *ret_size + 1);
	*ret_media_type = TAKE_PTR(response->content_type);
	return 0;
}

int registry_ping(struct registry *registry, struct error **ret_error)
{
	_cleanup_(fetch_freep) struct fetch *fetch =
	    new_fetch(registry, "login", xasprintf("%s/", registry->api));

	registry->is_login = true;
	begin(fetch);
	return fetch_wait(fetch, ret_error);
}
