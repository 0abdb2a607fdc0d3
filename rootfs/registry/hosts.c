/* SPDX-License-Identifier: Apache-2.0 */
/* containerd's hosts.toml: see hosts.h. */
#include "rootfs/registry/hosts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "rootfs/registry/registry-parts.h"
#include "rootfs/registry/toml.h"

#define FILE_SIZE_MAX (1u << 20)
#define SYSTEM "/etc/containerd/certs.d"
#define HUB "registry-1.docker.io"
#define HOST_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:[]"

struct endpoints {
	struct endpoint **all;
	size_t n;
};

void endpoint_free(struct endpoint *endpoint)
{
	if (!endpoint)
		return;
	free(endpoint->url);
	free(endpoint->host);
	free(endpoint->api);
	strv_free(endpoint->ca_files);
	free(endpoint->client_cert);
	free(endpoint->client_key);
	strv_free(endpoint->headers);
	free(endpoint);
}

void endpoints_free(struct endpoint **endpoints)
{
	for (size_t i = 0; endpoints && endpoints[i]; i++)
		endpoint_free(endpoints[i]);
	free(endpoints);
}

/* ---- URLs ---- */

/* A scheme that is not given is https, but for this machine's ports other than 443. */
static char *with_scheme(const char *url)
{
	const char *port = strrchr(url, ':');

	if (strstr(url, "://"))
		return xstrdup(url);
	return xasprintf(
	    "%s://%s",
	    registry_is_loopback(url) && !(port && strcmp(port, ":443") == 0) ? "http" : "https",
	    url);
}

/* containerd's: "/v2" behind the path, if it does not end so, unless override_path is given. */
static char *api_path(const char *path, bool is_given)
{
	size_t length = strlen(path);

	while (length > 0 && path[length - 1] == '/')
		length--;
	if (is_given || (length >= 3 && strncmp(path + length - 3, "/v2", 3) == 0))
		return xstrndup(path, length);
	return xasprintf("%.*s/v2", (int)length, path);
}

static int take_url(struct endpoint *endpoint, const char *given, bool override_path,
		    const struct reference *reference, struct error **ret_error)
{
	_cleanup_free_ char *url = with_scheme(given);
	const char *host = strstr(url, "://") + 3;
	const size_t length = strcspn(host, "/");
	const bool is_hub = strcmp(reference->host, REFERENCE_HOST_DEFAULT) == 0;

	if ((strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) || length == 0 ||
	    strspn(host, HOST_CHARACTERS) != length || strpbrk(host, "?#%@ \\\"") ||
	    strcspn(host, "\r\n\t") != strlen(host))
		return error_set(ret_error, EINVAL, "\"%.200s\" is not a host's URL", given);
	endpoint->host = xstrndup(host, length);
	endpoint->api = api_path(host + length, override_path);
	endpoint->is_mirror = strcmp(endpoint->host, reference->host) != 0 &&
			      !(is_hub && strcmp(endpoint->host, HUB) == 0);
	if (strcmp(endpoint->host, REFERENCE_HOST_DEFAULT) == 0)
		endpoint->url = xstrdup("https://" HUB);
	else
		endpoint->url = xstrndup(url, (size_t)(host - url) + length);
	return 0;
}

/* ---- what a host has ---- */

/* Relative to the file's directory. */
static char *absolute(const char *directory, const char *path)
{
	return path[0] == '/' ? xstrdup(path) : xasprintf("%s/%s", directory, path);
}

/* A string, or an array of them; caller frees. */
static int get_words(const struct json_at *at, const char *key, char ***ret_words,
		     struct error **ret_error)
{
	_cleanup_free_ char *word = NULL;
	struct json_at member;

	if (json_member(at, key, JSON_OPTIONAL, &member, ret_error) < 0)
		return -1;
	if (!json_present(&member) || !YAJL_IS_STRING(member.value))
		return json_get_strv(at, key, JSON_OPTIONAL, ret_words, ret_error);
	if (json_as_string(&member, &word, ret_error) < 0)
		return -1;
	strv_append(ret_words, word);
	return 0;
}

static int read_ca(const struct json_at *at, const char *directory, struct endpoint *endpoint,
		   struct error **ret_error)
{
	_cleanup_strv_ char **words = NULL;

	if (get_words(at, "ca", &words, ret_error) < 0)
		return -1;
	for (size_t i = 0; words && words[i]; i++) {
		_cleanup_free_ char *path = absolute(directory, words[i]);

		strv_append(&endpoint->ca_files, path);
	}
	return 0;
}

/* A [CERTIFICATE, KEY], or one file that has both. */
static int read_pair(const struct json_at *at, char ***ret_words, struct error **ret_error)
{
	_cleanup_strv_ char **words = NULL;
	const bool is_pair = YAJL_IS_ARRAY(at->value);
	const size_t n = is_pair ? json_length(at) : 1;

	for (size_t i = 0; i < n; i++) {
		struct json_at element = is_pair ? json_element(at, i) : *at;
		_cleanup_free_ char *word = NULL;

		if (json_as_string(&element, &word, ret_error) < 0)
			return -1;
		strv_append(&words, word);
	}
	if (n < 1 || n > 2 || !words[0][0])
		return json_error(at, ret_error, "must be a file, or a pair of two");
	*ret_words = TAKE_PTR(words);
	return 0;
}

/* "client": one of these, or an array of them, of which one can be shown. */
static int read_client(const struct json_at *at, const char *directory, struct endpoint *endpoint,
		       struct error **ret_error)
{
	_cleanup_strv_ char **words = NULL;
	struct json_at member, first;

	if (json_member(at, "client", JSON_OPTIONAL, &member, ret_error) < 0)
		return -1;
	if (!json_present(&member))
		return 0;
	if (json_length(&member) > 1)
		log_warning("of the clients' certificates for %s the first is used",
			    endpoint->host);
	first = YAJL_IS_ARRAY(member.value) && json_length(&member) > 0 ? json_element(&member, 0)
									: member;
	if (read_pair(&first, &words, ret_error) < 0)
		return -1;
	endpoint->client_cert = absolute(directory, words[0]);
	endpoint->client_key = absolute(directory, words[1] && words[1][0] ? words[1] : words[0]);
	return 0;
}

static int read_headers(const struct json_at *at, struct endpoint *endpoint,
			struct error **ret_error)
{
	struct json_at headers;

	if (json_object(at, "header", JSON_OPTIONAL, &headers, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < json_length(&headers); i++) {
		struct json_at header = json_member_at(&headers, i);
		_cleanup_strv_ char **values = NULL;

		if (get_words(&headers, header.key, &values, ret_error) < 0)
			return -1;
		for (size_t j = 0; values && values[j]; j++) {
			_cleanup_free_ char *line = xasprintf("%s: %s", header.key, values[j]);

			if (strpbrk(line, "\r\n"))
				return json_error(&header, ret_error, "has a line end");
			strv_append(&endpoint->headers, line);
		}
	}
	return 0;
}

/* What it may be asked for: by digest, or also by tag. */
static int read_capabilities(const struct json_at *at, bool *ret_pulls, bool *ret_resolves,
			     struct error **ret_error)
{
	_cleanup_strv_ char **words = NULL;

	if (json_get_strv(at, "capabilities", JSON_OPTIONAL, &words, ret_error) < 0)
		return -1;
	*ret_pulls = *ret_resolves = !words || !words[0];
	for (size_t i = 0; words && words[i]; i++) {
		if (strcmp(words[i], "pull") == 0)
			*ret_pulls = true;
		else if (strcmp(words[i], "resolve") == 0)
			*ret_resolves = true;
		else if (strcmp(words[i], "push") != 0)
			return error_set(ret_error, EINVAL, "capabilities: unknown: %.100s",
					 words[i]);
	}
	return 0;
}

/* Added, unless it does not give this image. */
static int read_endpoint(const struct json_at *at, const char *url, const char *directory,
			 const struct reference *reference, struct endpoints *endpoints,
			 struct error **ret_error)
{
	_cleanup_(endpoint_freep) struct endpoint *endpoint = xcalloc(1, sizeof(*endpoint));
	bool override_path = false, pulls, resolves;

	if (json_as_object(at, ret_error) < 0 ||
	    json_get_bool(at, "override_path", JSON_OPTIONAL, &override_path, ret_error) < 0 ||
	    json_get_bool(at, "skip_verify", JSON_OPTIONAL, &endpoint->skip_verify, ret_error) <
		0 ||
	    read_capabilities(at, &pulls, &resolves, ret_error) < 0 ||
	    take_url(endpoint, url, override_path, reference, ret_error) < 0 ||
	    read_ca(at, directory, endpoint, ret_error) < 0 ||
	    read_client(at, directory, endpoint, ret_error) < 0 ||
	    read_headers(at, endpoint, ret_error) < 0)
		return -1;
	if (!pulls || (!resolves && !reference->digest))
		return 0;
	endpoints->all = xreallocarray(endpoints->all, endpoints->n + 2, sizeof(*endpoints->all));
	endpoints->all[endpoints->n++] = TAKE_PTR(endpoint);
	endpoints->all[endpoints->n] = NULL;
	return 0;
}

/* ---- the file ---- */

static int read_all_hosts(const struct json_at *root, const char *directory,
			  const struct reference *reference, struct endpoints *endpoints,
			  struct error **ret_error)
{
	_cleanup_free_ char *server = NULL;
	struct json_at hosts;

	if (json_get_string(root, "server", JSON_OPTIONAL, &server, ret_error) < 0 ||
	    json_object(root, "host", JSON_OPTIONAL, &hosts, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < json_length(&hosts); i++) {
		struct json_at host = json_member_at(&hosts, i);

		if (read_endpoint(&host, host.key, directory, reference, endpoints, ret_error) < 0)
			return -1;
	}
	return read_endpoint(root, server ? server : reference->host, directory, reference,
			     endpoints, ret_error);
}

static int read_hosts(const char *text, size_t size, const char *path, const char *directory,
		      const struct reference *reference, struct endpoint ***ret_endpoints,
		      struct error **ret_error)
{
	_cleanup_json_ yajl_val value = NULL;
	_cleanup_free_ char *json = NULL;
	struct endpoints endpoints = { 0 };
	struct json_at root;

	if (toml_to_json(text, size, path, &json, ret_error) < 0 ||
	    json_parse(json, strlen(json), path, &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (read_all_hosts(&root, directory, reference, &endpoints, ret_error) < 0) {
		endpoints_free(endpoints.all);
		return error_wrap(ret_error, "%s", path);
	}
	if (!endpoints.all)
		return error_set(ret_error, EPERM, "%s: no host gives %s", path, reference->name);
	*ret_endpoints = endpoints.all;
	return 0;
}

/* containerd's name of a directory: no colon. Caller frees. */
static char *directory_name(const char *host)
{
	const char *colon = strrchr(host, ':');

	return colon && colon > host ? xasprintf("%.*s_%s_", (int)(colon - host), host, colon + 1)
				     : xstrdup(host);
}

/* 1: there is a file. */
static int find_in(const char *all, const struct reference *reference,
		   struct endpoint ***ret_endpoints, struct error **ret_error)
{
	_cleanup_free_ char *plain = directory_name(reference->host);
	const char *const names[] = { plain, reference->host, "_default" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *directory = xasprintf("%s/%s", all, names[i]);
		_cleanup_free_ char *path = xasprintf("%s/hosts.toml", directory), *text = NULL;
		_cleanup_error_ struct error *error = NULL;
		size_t size;

		if (read_regular_file(path, FILE_SIZE_MAX, &text, &size, &error) == 0)
			return read_hosts(text, size, path, directory, reference, ret_endpoints,
					  ret_error) < 0
				   ? -1
				   : 1;
		if (error->code != ENOENT && error->code != ENOTDIR)
			return error_set(ret_error, error->code, "%s", error->message);
	}
	return 0;
}

int hosts_find(const struct reference *reference, struct endpoint ***ret_endpoints,
	       struct error **ret_error)
{
	const char *home = getenv("HOME");
	_cleanup_free_ char *own =
	    home && home[0] ? xasprintf("%s/.config/containerd/certs.d", home) : NULL;
	int found = own ? find_in(own, reference, ret_endpoints, ret_error) : 0;

	if (found == 0)
		found = find_in(SYSTEM, reference, ret_endpoints, ret_error);
	if (found == 0)
		*ret_endpoints = NULL;
	return found < 0 ? -1 : 0;
}
