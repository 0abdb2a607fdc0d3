/* SPDX-License-Identifier: Apache-2.0 */
/* The registry client against a registry that does all it should not. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "rootfs/registry/blob.h"
#include "rootfs/registry/fetch.h"
#include "rootfs/registry/registry-parts.h"
#include "tests/unit/fake-registry.h"
#include "tests/unit/test.h"

#define BLOB_SIZE 3000000

enum fault {
	FAULT_NONE,
	FAULT_CUT,	    /* the connection ends in the middle, each time later */
	FAULT_CUT_NO_RANGE, /* the same, and ranges are ignored */
	FAULT_WRONG_RANGE,
	FAULT_WRONG_BYTES,
	FAULT_LONGER,
	FAULT_SHORTER, /* says a length that is less */
	FAULT_ENDLESS, /* no length, no end */
	FAULT_SILENT,
	FAULT_BUSY, /* 429, then 503 */
	FAULT_BUSY_ALWAYS,
	FAULT_LATER, /* 429, come back in an hour */
	FAULT_FORBIDDEN,
	FAULT_MISSING,
	FAULT_MISSING_ENDLESS, /* with words that have no end */
	FAULT_REDIRECT,	       /* to the other server */
	FAULT_REDIRECT_LOOP,
	FAULT_REDIRECT_FILE,
	FAULT_TOKEN,	   /* wants a token */
	FAULT_TOKEN_BAD,   /* its token has a line end in it */
	FAULT_TOKEN_AGAIN, /* never satisfied */
	FAULT_TOKEN_SHORT, /* a token is good for one part */
	FAULT_BASIC,
	FAULT_NO_CHALLENGE,
};

/* What the server's thread and the test share; the test reads it when the server is idle. */
static struct {
	enum fault fault;
	unsigned requests, authorized;
	unsigned other_requests, other_authorized;
	char *token_path, *token_authorization;
	struct fake_registry *server, *other;
	uint8_t blob[BLOB_SIZE];
	char digest[DIGEST_SIZE];
} rig;

static uint64_t range_of(const char *head)
{
	const char *at = strstr(head, "Range: bytes=");

	return at ? strtoull(at + 13, NULL, 10) : 0;
}

static void send_from(int fd, uint64_t start, size_t size)
{
	char header[100];

	(void)snprintf(header, sizeof(header), "Content-Range: bytes %llu-%u/%u\r\n",
		       (unsigned long long)start, BLOB_SIZE - 1, BLOB_SIZE);
	fake_say_length(fd, start ? "206 Partial" : "200 OK", start ? header : "", rig.blob + start,
			size, BLOB_SIZE - start);
}

static void send_endless(int fd, const char *status)
{
	_cleanup_free_ char *head = xasprintf("HTTP/1.1 %s\r\nConnection: close\r\n\r\n", status);

	(void)signal(SIGPIPE, SIG_IGN);
	(void)write_all(fd, head, strlen(head));
	for (size_t i = 0; i < 1000; i++)
		if (write_all(fd, rig.blob, BLOB_SIZE) < 0)
			return;
	test_fail(__FILE__, __LINE__, "3 GB were taken");
}

static void challenge(int fd, const char *what)
{
	_cleanup_free_ char *header =
	    xasprintf("WWW-Authenticate: %s realm=\"http://127.0.0.1:%u/token?a=b\",service=\"a,b "
		      "\\\"c\\\"\",scope=\"repository:x/y:pull\"\r\n",
		      what, fake_registry_port(rig.other));

	fake_say(fd, "401 Unauthorized", what[0] ? header : "", "", 0);
}

static void redirect(int fd, const char *to)
{
	_cleanup_free_ char *header = xasprintf("Location: %s\r\n", to);

	fake_say(fd, "307 Temporary Redirect", header, "", 0);
}

static void answer_cut(int fd, const char *head)
{
	const uint64_t start = rig.fault == FAULT_CUT ? range_of(head) : 0;

	if (rig.requests < 3)
		send_from(fd, start, 500000 * rig.requests);
	else
		send_from(fd, start, BLOB_SIZE - start);
}

/* More than a fetch wants of progress. */
static size_t part_of(uint64_t start)
{
	return BLOB_SIZE - start < BLOB_SIZE / 2 ? BLOB_SIZE - start : BLOB_SIZE * 2 / 5;
}

static void answer_bytes(int fd, const char *head)
{
	char byte;

	switch (rig.fault) {
	case FAULT_CUT:
	case FAULT_CUT_NO_RANGE:
		answer_cut(fd, head);
		break;
	case FAULT_TOKEN_SHORT:
		send_from(fd, range_of(head), part_of(range_of(head)));
		break;
	case FAULT_WRONG_RANGE:
		if (rig.requests == 1)
			send_from(fd, 0, 1000);
		else
			send_from(fd, 500, BLOB_SIZE - 500);
		break;
	case FAULT_WRONG_BYTES:
		rig.blob[1000] ^= 1;
		send_from(fd, 0, BLOB_SIZE);
		rig.blob[1000] ^= 1;
		break;
	case FAULT_LONGER:
		fake_say_length(fd, "200 OK", "", rig.blob, BLOB_SIZE, BLOB_SIZE + 1);
		(void)send(fd, "x", 1, MSG_NOSIGNAL);
		break;
	case FAULT_SHORTER:
		fake_say(fd, range_of(head) ? "416 No" : "200 OK", "", rig.blob, 1000);
		break;
	case FAULT_ENDLESS:
		send_endless(fd, "200 OK");
		break;
	case FAULT_SILENT:
		/* Until the client has gone, however slow this machine is. */
		while (recv(fd, &byte, 1, 0) > 0)
			;
		break;
	default:
		send_from(fd, range_of(head), BLOB_SIZE - range_of(head));
	}
}

static bool challenged(int fd, const char *head)
{
	const bool has_token = strstr(head, "Authorization: Bearer good\r\n");
	const char *what = "Bearer";

	if (rig.fault == FAULT_BASIC) {
		if (strstr(head, "Authorization: Basic dXNlcjpzZWNyZXQ=\r\n"))
			return false;
		what = "Negotiate, Basic";
	} else if (rig.fault == FAULT_NO_CHALLENGE) {
		what = "";
	} else if (rig.fault == FAULT_TOKEN_SHORT) {
		if (rig.requests % 2 == 0)
			return false;
	} else if (has_token && rig.fault != FAULT_TOKEN_AGAIN) {
		return false;
	}
	challenge(fd, what);
	return true;
}

static void answer_words(int fd, const char *head)
{
	_cleanup_free_ char *other =
	    xasprintf("http://127.0.0.1:%u/elsewhere", fake_registry_port(rig.other));
	const bool has_token = strstr(head, "Authorization: Bearer good\r\n");

	switch (rig.fault) {
	case FAULT_BUSY:
		if (rig.requests < 3) {
			fake_say(fd, rig.requests == 1 ? "429 Wait" : "503 No", "", "", 0);
			return;
		}
		break;
	case FAULT_BUSY_ALWAYS:
		fake_say(fd, "429 Wait", "", "", 0);
		return;
	case FAULT_LATER:
		fake_say(fd, "429 Wait", "Retry-After: 3600\r\n", "", 0);
		return;
	case FAULT_FORBIDDEN:
		fake_say(fd, "403 No", "",
			 "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"go\\u001b away\"}]}", 56);
		return;
	case FAULT_MISSING:
		fake_say(fd, "404 No", "", "not json", 8);
		return;
	case FAULT_MISSING_ENDLESS:
		send_endless(fd, "404 No");
		return;
	case FAULT_REDIRECT:
		if (rig.requests == 1 && !has_token)
			challenge(fd, "Bearer");
		else
			redirect(fd, other);
		return;
	case FAULT_REDIRECT_LOOP:
		redirect(fd, "/again");
		return;
	case FAULT_REDIRECT_FILE:
		redirect(fd, "file:///etc/passwd");
		return;
	case FAULT_TOKEN:
	case FAULT_TOKEN_BAD:
	case FAULT_TOKEN_AGAIN:
	case FAULT_TOKEN_SHORT:
	case FAULT_BASIC:
	case FAULT_NO_CHALLENGE:
		if (challenged(fd, head))
			return;
		break;
	default:
		break;
	}
	answer_bytes(fd, head);
}

static void answer(void *data, int fd, const char *path, const char *head)
{
	(void)data;
	(void)path;
	rig.requests++;
	rig.authorized += strstr(head, "Authorization:") != NULL;
	answer_words(fd, head);
}

/* The other server: tokens, and blobs for those who were sent there. */
static void answer_other(void *data, int fd, const char *path, const char *head)
{
	const char *token = rig.fault == FAULT_TOKEN_BAD ? "{\"token\":\"good\\r\\nX: y\"}"
							 : "{\"token\":\"good\"}";
	const char *authorization = strstr(head, "Authorization:");

	(void)data;
	rig.other_requests++;
	if (strncmp(path, "/token", 6) == 0) {
		free(rig.token_path);
		free(rig.token_authorization);
		rig.token_path = xstrdup(path);
		rig.token_authorization =
		    authorization ? xstrndup(authorization, strcspn(authorization, "\r")) : NULL;
		fake_say(fd, "200 OK", "", token, strlen(token));
		return;
	}
	rig.other_authorized += authorization != NULL;
	send_from(fd, range_of(head), BLOB_SIZE - range_of(head));
}

static void unset_proxies(void)
{
	static const char *const proxies[] = { "http_proxy", "https_proxy", "all_proxy",
					       "no_proxy",   "HTTPS_PROXY", "ALL_PROXY",
					       "NO_PROXY" };

	for (size_t i = 0; i < ARRAY_SIZE(proxies); i++)
		(void)unsetenv(proxies[i]);
}

static void start(enum fault fault)
{
	struct error *error = NULL;

	unset_proxies();
	memset(&rig, 0, sizeof(rig));
	rig.fault = fault;
	for (size_t i = 0; i < BLOB_SIZE; i++)
		rig.blob[i] = (uint8_t)(i * 2654435761U >> 13);
	CHECK_OK(digest_of(rig.blob, BLOB_SIZE, rig.digest, &error), &error);
	rig.other = fake_registry_start(answer_other, NULL);
	rig.server = fake_registry_start(answer, NULL);
}

static void stop(void)
{
	fake_registry_stop(rig.server);
	fake_registry_stop(rig.other);
	free(rig.token_path);
	free(rig.token_authorization);
}

/* Fetches the blob; its bytes if that went well. */
static int fetch_once(const struct registry_options *given, char **ret_bytes, struct error **error)
{
	_cleanup_free_ char *name = xasprintf("127.0.0.1:%u/x/y", fake_registry_port(rig.server));
	_cleanup_(reference_freep) struct reference *reference = NULL;
	struct registry_options options = given ? *given : (struct registry_options){ 0 };
	_cleanup_(http_freep) struct http *http = NULL;
	_cleanup_(registry_freep) struct registry *registry = NULL;

	options.retry_ms = 1;
	if (!options.authfile)
		options.authfile = "/dev/null/none";
	CHECK_OK(reference_parse(name, &reference, error), error);
	CHECK_OK(http_new(&http, error), error);
	/* Only where it is to run out: the machine may be busy. */
	if (rig.fault == FAULT_SILENT)
		http_set_patience(http, HTTP_CONNECT_MS, 1);
	CHECK_OK(registry_open(http, reference, &options, &registry, error), error);
	return registry_blob(registry, rig.digest, BLOB_SIZE, ret_bytes, error);
}

/* requests 0: any number. */
static void works_with(enum fault fault, const struct registry_options *options, unsigned requests)
{
	_cleanup_free_ char *bytes = NULL;
	struct error *error = NULL;

	start(fault);
	CHECK_OK(fetch_once(options, &bytes, &error), &error);
	CHECK(memcmp(bytes, rig.blob, BLOB_SIZE) == 0);
	stop();
	if (requests)
		CHECK_INT(rig.requests, requests);
}

static void fails(enum fault fault, const char *words, unsigned requests)
{
	char *bytes = NULL;
	struct error *error = NULL;

	start(fault);
	CHECK_ERROR(fetch_once(NULL, &bytes, &error), &error, words);
	CHECK(!bytes);
	stop();
	if (requests)
		CHECK_INT(rig.requests, requests);
}

static void test_plain(void)
{
	works_with(FAULT_NONE, NULL, 1);
	CHECK_INT(rig.authorized, 0);
}

static void test_cut(void)
{
	works_with(FAULT_CUT, NULL, 3);
	works_with(FAULT_CUT_NO_RANGE, NULL, 3);
	fails(FAULT_WRONG_RANGE, "another range", 2);
}

static void test_wrong(void)
{
	fails(FAULT_WRONG_BYTES, "has the digest sha256:", 1);
	fails(FAULT_LONGER, "longer than the 3000000 bytes", 1);
	fails(FAULT_SHORTER, "416", 2);
	fails(FAULT_ENDLESS, "longer than the 3000000 bytes", 1);
}

static void test_busy(void)
{
	works_with(FAULT_BUSY, NULL, 3);
	fails(FAULT_BUSY_ALWAYS, "too many requests", FETCH_ATTEMPTS_MAX);
	fails(FAULT_LATER, "too many requests", 1);
	fails(FAULT_SILENT, "does not answer", 0);
}

static void test_refusals(void)
{
	fails(FAULT_FORBIDDEN, "not allowed (403): go? away", 1);
	fails(FAULT_MISSING, "not there (404)", 1);
	fails(FAULT_MISSING_ENDLESS, "not there (404)", 1);
	fails(FAULT_NO_CHALLENGE, "log in with", 1);
}

static void test_redirects(void)
{
	works_with(FAULT_REDIRECT, NULL, 2);
	CHECK_INT(rig.authorized, 1);
	CHECK_INT(rig.other_requests, 2); /* a token and the blob */
	CHECK_INT(rig.other_authorized, 0);
	fails(FAULT_REDIRECT_LOOP, "more than 10 redirects", FETCH_REDIRECTS_MAX + 1);
	fails(FAULT_REDIRECT_FILE, "cannot fetch", 1);
}

static void check_token(const char *authorization)
{
	start(FAULT_TOKEN);
	{
		const struct registry_options options = { .user = authorization ? "user" : NULL,
							  .password = "secret" };
		_cleanup_free_ char *bytes = NULL;
		struct error *error = NULL;

		CHECK_OK(fetch_once(&options, &bytes, &error), &error);
	}
	CHECK_STRING(rig.token_path, "/token?a=b&service=a%2Cb%20%22c%22&scope=repository%3Ax%2Fy%"
				     "3Apull");
	if (authorization)
		CHECK_STRING(rig.token_authorization, authorization);
	else
		CHECK(!rig.token_authorization);
	stop();
}

static void test_tokens(void)
{
	const struct registry_options options = { .user = "user", .password = "secret" };

	check_token(NULL);
	check_token("Authorization: Basic dXNlcjpzZWNyZXQ=");
	fails(FAULT_TOKEN_BAD, "token: not a word", 1);
	fails(FAULT_TOKEN_AGAIN, "not with these credentials", 2);
	works_with(FAULT_TOKEN_SHORT, NULL, 6);
	works_with(FAULT_BASIC, &options, 2);
	fails(FAULT_BASIC, "log in with", 1);
}

static void test_nobody(void)
{
	_cleanup_(reference_freep) struct reference *reference = NULL;
	_cleanup_(http_freep) struct http *http = NULL;
	_cleanup_(registry_freep) struct registry *registry = NULL;
	const struct registry_options options = { .retry_ms = 1, .authfile = "/dev/null/none" };
	struct error *error = NULL;
	char *bytes;

	unset_proxies();
	CHECK_OK(reference_parse("127.0.0.1:1/x", &reference, &error), &error);
	CHECK_OK(http_new(&http, &error), &error);
	CHECK_OK(registry_open(http, reference, &options, &registry, &error), &error);
	CHECK_ERROR(
	    registry_blob(registry,
			  DIGEST_PREFIX
			  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
			  1, &bytes, &error),
	    &error, "127.0.0.1:1");
}

/* Nobody takes the connection: that is said, and not tried for minutes. */
static void test_unreached(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct registry_options options = { .retry_ms = 1, .authfile = "/dev/null/none" };
	_cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_(reference_freep) struct reference *reference = NULL;
	_cleanup_(http_freep) struct http *http = NULL;
	_cleanup_(registry_freep) struct registry *registry = NULL;
	_cleanup_free_ char *name = NULL, *bytes = NULL, *type = NULL;
	socklen_t length = sizeof(address);
	struct error *error = NULL;
	char digest[DIGEST_SIZE];
	int waiting[4];
	size_t size;

	unset_proxies();
	CHECK(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 0) == 0);
	CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
	/* Its queue is full. */
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(waiting[i], (struct sockaddr *)&address, length);
	}
	name = xasprintf("127.0.0.1:%u/x", ntohs(address.sin_port));
	CHECK_OK(reference_parse(name, &reference, &error), &error);
	CHECK_OK(http_new(&http, &error), &error);
	http_set_patience(http, 200, HTTP_STALL_S);
	CHECK_OK(registry_open(http, reference, &options, &registry, &error), &error);
	CHECK_ERROR(registry_manifest(registry, "latest", 0, &bytes, &size, &type, digest, &error),
		    &error, "cannot be reached: no connection in time");
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++)
		(void)close(waiting[i]);
}

static bool may_be_plain(const char *name)
{
	_cleanup_(reference_freep) struct reference *reference = NULL;
	_cleanup_(http_freep) struct http *http = NULL;
	_cleanup_(registry_freep) struct registry *registry = NULL;
	const struct registry_options options = { .authfile = "/dev/null/none" };
	struct error *error = NULL;

	CHECK_OK(reference_parse(name, &reference, &error), &error);
	CHECK_OK(http_new(&http, &error), &error);
	CHECK_OK(registry_open(http, reference, &options, &registry, &error), &error);
	return registry->may_be_plain;
}

static void test_loopback(void)
{
	CHECK(may_be_plain("127.0.0.1/x") && may_be_plain("127.9.9.9:5000/x"));
	CHECK(may_be_plain("localhost/x") && may_be_plain("localhost:1/x"));
	CHECK(may_be_plain("[::1]:5000/x"));
	CHECK(!may_be_plain("127.evil.example/x") && !may_be_plain("127.0.0.1.example:80/x"));
	CHECK(!may_be_plain("localhost.example/x") && !may_be_plain("128.0.0.1/x"));
	CHECK(!may_be_plain("[::2]:5000/x"));
}

static const struct test_case cases[] = {
	{ "plain", test_plain },       { "cut", test_cut },
	{ "wrong", test_wrong },       { "busy", test_busy },
	{ "refusals", test_refusals }, { "redirects", test_redirects },
	{ "tokens", test_tokens },     { "nobody", test_nobody },
	{ "loopback", test_loopback }, { "unreached", test_unreached },
};
TEST_MAIN(cases)
