/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP by libcurl: see http.h. */
#include "rootfs/registry/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/plain.h"

#define SINKS_MAX 64
#define HEADER_MAX 8192
#define ERROR_BODY_MAX (64u << 10) /* of a response that is not a success: it ends there */

struct http {
	CURLM *multi;
	struct http_transfer *first;
	long connect_ms, stall_s;
	bool has_met_http_1; /* somebody who does one thing at a time on a connection */
};

struct http_transfer {
	struct http *http;
	struct http_transfer *next;
	struct http_request request; /* its strings are not kept */
	CURL *easy;
	struct curl_slist *headers;
	struct http_response response;
	struct buffer pending; /* taken from the server, not yet in the sink */
	struct error *error;
	char *host; /* for messages: scheme, host and port */
	char words[CURL_ERROR_SIZE];
	bool is_over, is_paused, no_tls, is_unreached;
	bool is_cut; /* by us: its status and its first bytes are enough */
};

int http_new(struct http **ret_http, struct error **ret_error)
{
	_cleanup_(http_freep) struct http *http = xcalloc(1, sizeof(*http));

	http->connect_ms = HTTP_CONNECT_MS;
	http->stall_s = HTTP_STALL_S;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || !(http->multi = curl_multi_init()))
		return error_set(ret_error, ENOMEM, "cannot set up libcurl");
	(void)curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
	(void)curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, 8L);
	*ret_http = TAKE_PTR(http);
	return 0;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	if (http->multi)
		(void)curl_multi_cleanup(http->multi);
	free(http);
}

void http_set_patience(struct http *http, long connect_ms, long stall_s)
{
	http->connect_ms = connect_ms;
	http->stall_s = stall_s;
}

/* ---- what comes ---- */

static void fail(struct http_transfer *transfer, int code, const char *what)
{
	if (!transfer->error)
		(void)error_set(&transfer->error, code, "%s: %s", transfer->host, what);
}

/* As much as the sink takes now; -1: it takes no more, ever. */
static int flush_pending(struct http_transfer *transfer)
{
	while (buffer_length(&transfer->pending) > 0) {
		ssize_t n = write(transfer->request.sink_fd, buffer_data(&transfer->pending),
				  buffer_length(&transfer->pending));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0) {
			fail(transfer, EPIPE, "what came was not taken");
			buffer_done(&transfer->pending);
			return -1;
		}
		buffer_consume(&transfer->pending, (size_t)n);
	}
	buffer_done(&transfer->pending);
	return 0;
}

static size_t take_piece(struct http_transfer *transfer, const uint8_t *bytes, size_t size)
{
	const struct http_request *request = &transfer->request;
	const size_t all = size;

	if (flush_pending(transfer) < 0)
		return 0;
	if (buffer_length(&transfer->pending) > 0) {
		transfer->is_paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (request->piece(request->data, &transfer->response, &bytes, &size, &transfer->error) < 0)
		return 0;
	if (request->sink_fd >= 0 && size > 0) {
		buffer_append(&transfer->pending, bytes, size);
		if (flush_pending(transfer) < 0)
			return 0;
	}
	return all;
}

static bool is_success(long status)
{
	return status == 200 || status == 206;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *data)
{
	struct http_transfer *transfer = data;
	struct buffer *body = &transfer->response.body;
	const bool is_good = is_success(transfer->response.status);

	(void)one;
	if (is_good && transfer->request.piece)
		return take_piece(transfer, (const uint8_t *)bytes, size);
	if (is_good && buffer_length(body) + size > transfer->request.body_max) {
		fail(transfer, EFBIG, "the answer is too long");
		return 0;
	}
	if (!is_good && buffer_length(body) + size > ERROR_BODY_MAX) {
		transfer->is_cut = true;
		return 0;
	}
	buffer_append(body, bytes, size);
	return size;
}

/* The value of this header, trimmed, in *ret_value (caller frees). */
static bool header_value(const char *line, size_t size, const char *name, char **ret_value)
{
	const size_t length = strlen(name);

	if (size <= length || line[length] != ':' || strncasecmp(line, name, length) != 0)
		return false;
	line += length + 1;
	size -= length + 1;
	while (size > 0 && (line[0] == ' ' || line[0] == '\t')) {
		line++;
		size--;
	}
	while (size > 0 && strchr("\r\n \t", line[size - 1]))
		size--;
	*ret_value = xstrndup(line, size);
	return true;
}

static void take_range(struct http_response *response, const char *value)
{
	char *end;

	if (strncasecmp(value, "bytes ", 6) != 0 || value[6] < '0' || value[6] > '9')
		return;
	response->range_start = strtoull(value + 6, &end, 10);
	response->has_range = *end == '-';
}

static void response_done(struct http_response *response)
{
	free(response->content_type);
	free(response->redirect);
	strv_free(response->challenges);
	buffer_done(&response->body);
	*response = (struct http_response){ 0 };
}

static size_t on_header(char *line, size_t one, size_t size, void *data)
{
	struct http_transfer *transfer = data;
	struct http_response *response = &transfer->response;
	_cleanup_free_ char *value = NULL;

	(void)one;
	/* A status line: what an interim response or a proxy said before counts no more. */
	if (size >= 6 && strncmp(line, "HTTP/", 5) == 0) {
		response_done(response);
		(void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &response->status);
		transfer->http->has_met_http_1 |= strncmp(line, "HTTP/1", 6) == 0;
		return size;
	}
	if (size > HEADER_MAX)
		return size;
	if (header_value(line, size, "content-type", &value)) {
		value[strcspn(value, "; ")] = '\0';
		for (char *c = value; *c; c++)
			*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
		free(response->content_type);
		response->content_type = TAKE_PTR(value);
	} else if (header_value(line, size, "content-range", &value)) {
		take_range(response, value);
	} else if (header_value(line, size, "www-authenticate", &value) &&
		   strv_length(response->challenges) < HTTP_CHALLENGES_MAX) {
		strv_append(&response->challenges, value);
	}
	return size;
}

/* ---- starting ---- */

/* "https://host:port" of a URL, without what may be secret in it. */
static char *origin_of(const char *url)
{
	const char *at = strstr(url, "://");
	size_t length = at ? (size_t)(at - url) + 3 : 0;
	char *origin;

	length += strcspn(url + length, "/?#");
	origin = xstrndup(url, length);
	plain_text(origin);
	return origin;
}

static void set_up(struct http_transfer *transfer)
{
	const struct http_request *request = &transfer->request;
	CURL *easy = transfer->easy;

	(void)curl_easy_setopt(easy, CURLOPT_URL, request->url);
	(void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	(void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	/* Over HTTP/1 it would wait for the other answer, to see whether it is HTTP/2. */
	(void)curl_easy_setopt(easy, CURLOPT_PIPEWAIT, transfer->http->has_met_http_1 ? 0L : 1L);
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, transfer->http->connect_ms);
	(void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, transfer->http->stall_s);
	(void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)HTTP_STALL_BYTES);
	if (!request->piece)
		(void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)HTTP_SMALL_MS);
	(void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
	(void)curl_easy_setopt(easy, CURLOPT_USERAGENT, PACKAGE_NAME "/" PACKAGE_VERSION);
	(void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->words);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	(void)curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	(void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
	if (request->ca_file)
		(void)curl_easy_setopt(easy, CURLOPT_CAINFO, request->ca_file);
	if (request->client_cert) {
		(void)curl_easy_setopt(easy, CURLOPT_SSLCERT, request->client_cert);
		(void)curl_easy_setopt(easy, CURLOPT_SSLKEY, request->client_key);
	}
	if (request->unverified) {
		(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (request->body)
		(void)curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body);
}

struct http_transfer *http_start(struct http *http, const struct http_request *request)
{
	struct http_transfer *transfer = xcalloc(1, sizeof(*transfer));

	transfer->http = http;
	transfer->request = *request;
	transfer->host = origin_of(request->url);
	transfer->next = http->first;
	http->first = transfer;
	transfer->easy = curl_easy_init();
	for (size_t i = 0; request->headers && request->headers[i]; i++) {
		struct curl_slist *longer =
		    curl_slist_append(transfer->headers, request->headers[i]);

		transfer->headers = longer ? longer : transfer->headers;
	}
	if (transfer->easy) {
		set_up(transfer);
		if (curl_multi_add_handle(http->multi, transfer->easy) == CURLM_OK)
			return transfer;
	}
	fail(transfer, ENOMEM, "cannot set up libcurl");
	transfer->is_over = true;
	return transfer;
}

void http_transfer_free(struct http_transfer *transfer)
{
	struct http_transfer **at;

	if (!transfer)
		return;
	for (at = &transfer->http->first; *at != transfer; at = &(*at)->next)
		;
	*at = transfer->next;
	if (transfer->easy) {
		(void)curl_multi_remove_handle(transfer->http->multi, transfer->easy);
		curl_easy_cleanup(transfer->easy);
	}
	curl_slist_free_all(transfer->headers);
	response_done(&transfer->response);
	buffer_done(&transfer->pending);
	error_free(transfer->error);
	free(transfer->host);
	free(transfer);
}

/* ---- the end ---- */

static int code_of(CURLcode result)
{
	switch (result) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
		return EPERM;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_URL_MALFORMAT:
		return EINVAL;
	case CURLE_OUT_OF_MEMORY:
		return ENOMEM;
	default:
		return EAGAIN;
	}
}

/* With TLS where there is to be TLS; a connection of an earlier transfer will do. */
static bool has_connected(const struct http_transfer *transfer)
{
	curl_off_t us = 0;

	return curl_easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &us) == CURLE_OK &&
	       us > 0;
}

static void note_end(struct http_transfer *transfer, CURLcode result)
{
	const char *words = transfer->words[0] ? transfer->words : curl_easy_strerror(result);
	curl_off_t retry_after = 0;
	char *redirect = NULL;

	transfer->is_over = true;
	transfer->is_unreached = result != CURLE_OK && !has_connected(transfer);
	transfer->no_tls = result == CURLE_SSL_CONNECT_ERROR || result == CURLE_COULDNT_CONNECT;
	if (result != CURLE_OK && !transfer->is_cut) {
		plain_text(transfer->words);
		if (result == CURLE_COULDNT_RESOLVE_HOST)
			fail(transfer, EHOSTUNREACH, "unknown host");
		else if (result == CURLE_OPERATION_TIMEDOUT && transfer->is_unreached)
			fail(transfer, ETIMEDOUT, "cannot be reached: no connection in time");
		else if (result == CURLE_OPERATION_TIMEDOUT)
			fail(transfer, EAGAIN, "it does not answer, or too slowly");
		else
			fail(transfer, code_of(result), words);
		return;
	}
	(void)curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &retry_after);
	(void)curl_easy_getinfo(transfer->easy, CURLINFO_REDIRECT_URL, &redirect);
	transfer->response.retry_after_s = retry_after > 0 ? (uint64_t)retry_after : 0;
	transfer->response.redirect = xstrdup(redirect);
	buffer_append(&transfer->response.body, "", 1);
	transfer->response.body.end--;
}

static void note_ends(struct http *http)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(http->multi, &left))) {
		char *transfer = NULL;

		if (message->msg == CURLMSG_DONE &&
		    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer) ==
			CURLE_OK)
			note_end((struct http_transfer *)(void *)transfer, message->data.result);
	}
}

static void flush_all(struct http *http)
{
	for (struct http_transfer *at = http->first; at; at = at->next) {
		if (buffer_length(&at->pending) == 0)
			continue;
		(void)flush_pending(at);
		if (buffer_length(&at->pending) == 0 && at->is_paused && !at->is_over) {
			at->is_paused = false;
			(void)curl_easy_pause(at->easy, CURLPAUSE_CONT);
		}
	}
}

void http_step(struct http *http, const struct pollfd *others, size_t n_others, int timeout_ms)
{
	struct curl_waitfd fds[SINKS_MAX + HTTP_OTHERS_MAX];
	unsigned n = 0;
	int running;

	for (; n < n_others && n < HTTP_OTHERS_MAX; n++)
		fds[n] =
		    (struct curl_waitfd){ .fd = others[n].fd,
					  .events = others[n].events & POLLOUT ? CURL_WAIT_POLLOUT
									       : CURL_WAIT_POLLIN };
	for (struct http_transfer *at = http->first; at && n < ARRAY_SIZE(fds); at = at->next)
		if (buffer_length(&at->pending) > 0)
			fds[n++] = (struct curl_waitfd){ .fd = at->request.sink_fd,
							 .events = CURL_WAIT_POLLOUT };
	(void)curl_multi_poll(http->multi, fds, n, timeout_ms, NULL);
	flush_all(http);
	(void)curl_multi_perform(http->multi, &running);
	note_ends(http);
}

bool http_transfer_ended(const struct http_transfer *transfer)
{
	return transfer->is_over && (transfer->error || buffer_length(&transfer->pending) == 0);
}

const struct error *http_transfer_error(const struct http_transfer *transfer)
{
	return transfer->error;
}

bool http_transfer_unreached(const struct http_transfer *transfer)
{
	return transfer->is_unreached;
}

bool http_transfer_no_tls(const struct http_transfer *transfer)
{
	return transfer->no_tls;
}

struct http_response *http_transfer_response(struct http_transfer *transfer)
{
	return &transfer->response;
}
