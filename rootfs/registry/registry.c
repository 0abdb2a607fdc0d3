/* SPDX-License-Identifier: Apache-2.0 */
/* A registry: where it is, how it lets us in, and what its refusals mean. See fetch.h. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/plain.h"
#include "rootfs/registry/challenge.h"
#include "rootfs/registry/registry-parts.h"

#define DOCKER_HUB "registry-1.docker.io"
#define CA_FILE_MAX (1u << 20)
#define TOKEN_ANSWER_MAX (1u << 20)
#define TOKEN_MAX (32u << 10)
#define TOKEN_ATTEMPTS 3

/* ---- where ---- */

/* "127.x.example" is a name like any other. */
bool registry_is_loopback(const char *host)
{
	const size_t length =
	    host[0] == '[' ? strcspn(host, "]") + (strchr(host, ']') != NULL) : strcspn(host, ":/");
	_cleanup_free_ char *name = xstrndup(host, length);
	struct in_addr address;

	if (inet_pton(AF_INET, name, &address) == 1)
		return ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
	return strcmp(name, "[::1]") == 0 || strcmp(name, "localhost") == 0;
}

static int is_certificate(const struct dirent *entry)
{
	return fnmatch("*.crt", entry->d_name, FNM_PERIOD) == 0 ||
	       fnmatch("*.cert", entry->d_name, FNM_PERIOD) == 0;
}

/* The first one in the directory of what is looked for; *path is left where it is set. */
static void take_first(const char *directory, const char *name, const char *ending, char **path)
{
	const size_t length = strlen(name), size = strlen(ending);

	if (!*path && length > size && strcmp(name + length - size, ending) == 0)
		*path = xasprintf("%s/%s", directory, name);
}

/* containers-certs.d(5): *.crt is a CA's certificate, NAME.cert our own with its key in NAME.key.
 */
static int read_certificates(struct registry *registry, const char *directory,
			     struct error **ret_error)
{
	struct dirent **names = NULL;
	const int n = scandir(directory, &names, is_certificate, alphasort);

	for (int i = 0; i < n; i++) {
		take_first(directory, names[i]->d_name, ".crt", &registry->ca_file);
		take_first(directory, names[i]->d_name, ".cert", &registry->client_cert);
		free(names[i]);
	}
	free(names);
	if (!registry->client_cert)
		return 0;
	registry->client_key =
	    xasprintf("%.*s.key", (int)(strlen(registry->client_cert) - strlen(".cert")),
		      registry->client_cert);
	if (access(registry->client_key, R_OK) < 0)
		return error_set_errno(ret_error, errno, "the key of the certificate %s: %s",
				       registry->client_cert, registry->client_key);
	return 0;
}

/* The first directory that is there. */
static int find_certificates(struct registry *registry, struct error **ret_error)
{
	const char *home = getenv("HOME"), *named = registry->options.cert_dir;
	_cleanup_free_ char *own =
	    xasprintf("%s/.config/containers/certs.d/%s", home && home[0] ? home : "/nonexistent",
		      registry->host);
	_cleanup_free_ char *containers = xasprintf("/etc/containers/certs.d/%s", registry->host);
	_cleanup_free_ char *docker = xasprintf("/etc/docker/certs.d/%s", registry->host);
	_cleanup_free_ char *containerd = xasprintf("/etc/containerd/certs.d/%s", registry->host);
	const char *const all[] = { own, containers, docker, containerd };

	if (named)
		return read_certificates(registry, named, ret_error);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (access(all[i], X_OK) == 0)
			return read_certificates(registry, all[i], ret_error);
	return 0;
}

/* libcurl takes one file. */
static int join_ca_files(struct registry *registry, char *const *files, struct error **ret_error)
{
	registry->ca_fd = memfd_create("certificates", MFD_CLOEXEC);
	if (registry->ca_fd < 0)
		return error_set_errno(ret_error, errno, "cannot make a file in memory");
	for (; *files; files++) {
		_cleanup_free_ char *text = NULL;
		size_t size;

		if (read_file(*files, CA_FILE_MAX, &text, &size, ret_error) < 0)
			return -1;
		if (write_all(registry->ca_fd, text, size) < 0 ||
		    write_all(registry->ca_fd, "\n", 1) < 0)
			return error_set_errno(ret_error, errno, "cannot write to memory");
	}
	registry->ca_file = xasprintf("/proc/self/fd/%d", registry->ca_fd);
	return 0;
}

/* Those of hosts.toml take the place of certs.d's. */
static int take_certificates(struct registry *registry, struct error **ret_error)
{
	const struct endpoint *endpoint = registry->options.endpoint;

	if (registry->options.cert_dir || !endpoint ||
	    (!endpoint->ca_files && !endpoint->client_cert))
		return find_certificates(registry, ret_error);
	registry->client_cert = xstrdup(endpoint->client_cert);
	registry->client_key = xstrdup(endpoint->client_key);
	return endpoint->ca_files ? join_ca_files(registry, endpoint->ca_files, ret_error) : 0;
}

/* Where it is: hosts.toml's place, or its host. */
static void take_place(struct registry *registry, const struct reference *reference)
{
	const struct endpoint *endpoint = registry->options.endpoint;
	const bool is_hub = strcmp(reference->host, REFERENCE_HOST_DEFAULT) == 0;

	registry->repository = xstrdup(reference->repository);
	if (endpoint) {
		registry->host = xstrdup(endpoint->is_mirror ? endpoint->host : reference->host);
		registry->base = xstrdup(endpoint->url);
		registry->api = endpoint->api;
		registry->asked_for = endpoint->is_mirror ? reference->host : NULL;
		registry->options.unverified |= endpoint->skip_verify;
	} else {
		registry->host = xstrdup(reference->host);
		registry->base = xasprintf("https://%s", is_hub ? DOCKER_HUB : reference->host);
		registry->api = "/v2";
	}
	/* As docker has it: what is on this machine needs no certificate. */
	registry->may_be_plain = registry->options.insecure || registry_is_loopback(registry->host);
	registry->options.unverified |= registry->options.insecure;
}

int registry_open(struct http *http, const struct reference *reference,
		  const struct registry_options *options, struct registry **ret_registry,
		  struct error **ret_error)
{
	_cleanup_(registry_freep) struct registry *registry = xcalloc(1, sizeof(*registry));

	registry->http = http;
	registry->options = *options;
	registry->ca_fd = -1;
	if (!registry->options.retry_ms)
		registry->options.retry_ms = FETCH_RETRY_MS;
	registry->ranges_max = REGISTRY_RANGES_MAX;
	take_place(registry, reference);
	if (take_certificates(registry, ret_error) < 0)
		return -1;
	if (options->user) {
		registry->credentials.user = xstrdup(options->user);
		registry->credentials.password =
		    xstrdup(options->password ? options->password : "");
	} else if (credentials_find(options->authfile, registry->host, reference->repository,
				    &registry->credentials, ret_error) < 0) {
		return -1;
	}
	*ret_registry = TAKE_PTR(registry);
	return 0;
}

void registry_free(struct registry *registry)
{
	if (!registry)
		return;
	credentials_done(&registry->credentials);
	free(registry->host);
	free(registry->repository);
	free(registry->base);
	free(registry->authorization);
	free(registry->ca_file);
	free(registry->client_cert);
	free(registry->client_key);
	close_fdp(&registry->ca_fd);
	free(registry);
}

char *registry_path(const struct registry *registry, const char *kind, const char *what)
{
	/* containerd's, for a mirror of many registries. (A host has nothing to escape.) */
	const char *host = registry->asked_for;

	return xasprintf("%s/%s/%s/%s%s%s", registry->api, registry->repository, kind, what,
			 host ? "?ns=" : "", host ? host : "");
}

void registry_add_headers(const struct registry *registry, char ***headers)
{
	char *const *more = registry->options.endpoint ? registry->options.endpoint->headers : NULL;

	for (; more && *more; more++)
		strv_append(headers, *more);
	if (registry->authorization)
		strv_append(headers, registry->authorization);
}

bool registry_is_own(const struct registry *registry, const char *url)
{
	const size_t length = strlen(registry->base);

	return strncasecmp(url, registry->base, length) == 0 && url[length] == '/';
}

void registry_ask_less(struct registry *registry)
{
	if (registry->ranges_max > 1)
		registry->ranges_max /= 2;
}

bool registry_fall_back(struct registry *registry)
{
	static const char https[] = "https://";
	char *plain;

	if (!registry->may_be_plain || strncmp(registry->base, https, strlen(https)) != 0)
		return false;
	plain = xasprintf("http://%s", registry->base + strlen(https));
	free(registry->base);
	registry->base = plain;
	return true;
}

struct http_transfer *registry_start(struct registry *registry, struct http_request *request)
{
	request->ca_file = registry->ca_file;
	request->unverified = registry->options.unverified;
	/* Who we are is nobody else's matter. */
	if (registry_is_own(registry, request->url)) {
		request->client_cert = registry->client_cert;
		request->client_key = registry->client_key;
	}
	return http_start(registry->http, request);
}

/* ---- tokens ---- */

static char *escaped(const char *text)
{
	char *of_curl = curl_easy_escape(NULL, text, 0);
	char *ours = xstrdup(of_curl ? of_curl : "");

	curl_free(of_curl);
	return ours;
}

/* It goes into a header: nothing but what is visible. */
static bool token_valid(const char *token)
{
	const size_t length = strlen(token);

	if (length == 0 || length > TOKEN_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
		if (token[i] <= ' ' || token[i] > '~')
			return false;
	return true;
}

static int take_token(struct registry *registry, const struct http_response *response,
		      struct error **ret_error)
{
	const char *text = (const char *)buffer_data(&response->body);
	_cleanup_json_ yajl_val value = NULL;
	_cleanup_free_ char *token = NULL;
	struct json_at root;

	if (json_parse(text, buffer_length(&response->body), "token", &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_as_object(&root, ret_error) < 0 ||
	    json_get_string(&root, "token", JSON_OPTIONAL, &token, ret_error) < 0 ||
	    (!token &&
	     json_get_string(&root, "access_token", JSON_REQUIRED, &token, ret_error) < 0))
		return -1;
	if (!token_valid(token))
		return error_set(ret_error, EBADMSG, "token: not a word of at most %u bytes",
				 TOKEN_MAX);
	free(registry->authorization);
	registry->authorization = xasprintf("Authorization: Bearer %s", token);
	return 0;
}

static int realm_check(const struct registry *registry, const char *realm, struct error **ret_error)
{
	const bool is_plain = strncasecmp(realm, "http://", 7) == 0;

	if (!is_plain && strncasecmp(realm, "https://", 8) != 0)
		return error_set(ret_error, EBADMSG, "%s names no place for tokens (\"%.200s\")",
				 registry->host, realm);
	if (is_plain && strncmp(registry->base, "https:", 6) == 0)
		return error_set(ret_error, EPERM,
				 "%s wants credentials sent without TLS, to %.200s: refused",
				 registry->host, realm);
	return 0;
}

/* One request for a token, until it ends. */
static struct http_transfer *ask_for_token(struct registry *registry,
					   const struct challenge *challenge)
{
	const struct credentials *credentials = &registry->credentials;
	_cleanup_free_ char *own_scope = xasprintf("repository:%s:pull", registry->repository);
	_cleanup_free_ char *service = escaped(challenge->service ? challenge->service : "");
	_cleanup_free_ char *scope = escaped(challenge->scope ? challenge->scope : own_scope);
	_cleanup_free_ char *query = xasprintf("service=%s&scope=%s", service, scope);
	_cleanup_free_ char *url = NULL, *form = NULL, *basic = NULL;
	char *headers[] = { NULL, NULL };
	struct http_request request = { .body_max = TOKEN_ANSWER_MAX, .sink_fd = -1 };
	struct http_transfer *transfer;

	if (credentials->identity_token) {
		_cleanup_free_ char *secret = escaped(credentials->identity_token);

		url = xstrdup(challenge->realm);
		form = xasprintf("grant_type=refresh_token&client_id=" PACKAGE_NAME
				 "&refresh_token=%s&%s",
				 secret, query);
	} else {
		url = xasprintf("%s%c%s", challenge->realm,
				strchr(challenge->realm, '?') ? '&' : '?', query);
		basic = credentials->user
			    ? credentials_basic(credentials->user, credentials->password)
			    : NULL;
		headers[0] = basic;
	}
	request.url = url;
	request.body = form;
	request.headers = headers;
	transfer = registry_start(registry, &request);
	while (!http_transfer_ended(transfer))
		http_step(registry->http, NULL, 0, 1000);
	return transfer;
}

static int get_token(struct registry *registry, const struct challenge *challenge,
		     struct error **ret_error)
{
	if (realm_check(registry, challenge->realm, ret_error) < 0)
		return -1;
	for (unsigned attempt = 1;; attempt++) {
		_cleanup_(http_transfer_freep) struct http_transfer *transfer =
		    ask_for_token(registry, challenge);
		const struct error *error = http_transfer_error(transfer);
		const struct http_response *response = http_transfer_response(transfer);
		const bool is_passing = error ? error->code == EAGAIN
					      : response->status == 429 || response->status >= 500;

		if (!error && response->status == 200)
			return take_token(registry, response, ret_error);
		if (!is_passing || attempt == TOKEN_ATTEMPTS) {
			if (error)
				return error_set(ret_error, error->code, "cannot get a token: %s",
						 error->message);
			return registry_refused(registry, "a token", response, ret_error);
		}
		(void)usleep((useconds_t)registry->options.retry_ms * 1000 * attempt);
	}
}

int registry_authorize(struct registry *registry, char *const *headers, struct error **ret_error)
{
	const struct credentials *credentials = &registry->credentials;

	for (size_t i = 0; headers && headers[i]; i++) {
		_cleanup_(challenges_freep) struct challenge *challenges =
		    challenges_parse(headers[i]);

		for (const struct challenge *at = challenges; at->scheme; at++)
			if (strcmp(at->scheme, "bearer") == 0 && at->realm)
				return get_token(registry, at, ret_error);
		for (const struct challenge *at = challenges; at->scheme; at++) {
			if (strcmp(at->scheme, "basic") != 0 || !credentials->user)
				continue;
			free(registry->authorization);
			registry->authorization =
			    credentials_basic(credentials->user, credentials->password);
			return 0;
		}
	}
	return error_set(ret_error, EACCES,
			 "%s asks for authentication (401): log in with " PACKAGE_NAME
			 " login %s, or the image does not exist",
			 registry->host, registry->host);
}

/* ---- refusals ---- */

/* The first message of the registry's own, distribution-spec "Error Codes"; NULL: none. */
static char *own_words(const struct http_response *response)
{
	const char *text = (const char *)buffer_data(&response->body);
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root, errors, first;
	char *words = NULL;

	if (buffer_length(&response->body) == 0 ||
	    json_parse(text, buffer_length(&response->body), "error", &value, NULL) < 0)
		return NULL;
	root = json_root(value);
	if (json_array(&root, "errors", JSON_REQUIRED, &errors, NULL) < 0 ||
	    json_length(&errors) == 0)
		return NULL;
	first = json_element(&errors, 0);
	(void)json_get_string(&first, "message", JSON_OPTIONAL, &words, NULL);
	if (words) {
		plain_text(words);
		words[strnlen(words, 200)] = '\0';
	}
	return words;
}

int registry_refused(const struct registry *registry, const char *what,
		     const struct http_response *response, struct error **ret_error)
{
	const struct {
		long status;
		int code;
		const char *words;
	} known[] = {
		{ 401, EACCES,
		  registry->is_login ? "not with these credentials"
				     : "not with these credentials, or it does not exist" },
		{ 403, EACCES, "not allowed" },
		{ 404, ENOENT, "not there" },
		{ 429, EBUSY, "too many requests: try again later" },
	};
	_cleanup_free_ char *words = own_words(response);
	_cleanup_free_ char *wanted =
	    registry->is_login ? xstrdup("the login")
			       : xasprintf("%s/%s, %s", registry->host, registry->repository, what);
	const char *ours = response->status >= 500 ? "the registry has a problem" : "unexpected";
	int code = EIO;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (known[i].status == response->status) {
			code = known[i].code;
			ours = known[i].words;
		}
	}
	return error_set(ret_error, code, "%s refuses %s: %s (%ld)%s%s", registry->host, wanted,
			 ours, response->status, words ? ": " : "", words ? words : "");
}
