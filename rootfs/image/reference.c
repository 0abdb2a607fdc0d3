/* SPDX-License-Identifier: Apache-2.0 */
/* Names of images: see reference.h. */
#include "rootfs/image/reference.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "rootfs/image/digest.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz0123456789"
#define LETTERS LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static int refuse(struct error **ret_error, const char *text, const char *why)
{
	return error_set(ret_error, EINVAL, "invalid image name \"%s\": %s", text, why);
}

static bool is_host_word(const char *word)
{
	return strpbrk(word, ".:") || strcmp(word, "localhost") == 0;
}

/* A number of 1 to 65535, or nothing at all. */
static bool port_valid(const char *port)
{
	const size_t length = strlen(port);

	return length >= 1 && length <= 5 && strspn(port, "0123456789") == length &&
	       atoi(port) >= 1 && atoi(port) <= 65535;
}

static bool labels_valid(const char *host, size_t length)
{
	bool is_start = true;

	for (size_t i = 0; i < length; i++) {
		const bool is_end = i + 1 == length || host[i + 1] == '.';

		if (host[i] == '.' && !is_start)
			is_start = true;
		else if (strchr(LETTERS, host[i]) || (host[i] == '-' && !is_start && !is_end))
			is_start = false;
		else
			return false;
	}
	return length > 0 && !is_start;
}

static bool host_valid(const char *host)
{
	const char *colon;

	if (host[0] == '[') {
		const size_t length = strspn(host + 1, "0123456789abcdefABCDEF:.");

		if (length < 2 || host[length + 1] != ']')
			return false;
		host += length + 2;
		return host[0] == '\0' || (host[0] == ':' && port_valid(host + 1));
	}
	colon = strchr(host, ':');
	return labels_valid(host, colon ? (size_t)(colon - host) : strlen(host)) &&
	       (!colon || port_valid(colon + 1));
}

/* distribution-spec "Pull": words of lower case letters and digits, between them one ".", one or
 * two "_", or any number of "-". */
static size_t separator_length(const char *at)
{
	if (at[0] == '.')
		return 1;
	if (at[0] == '_')
		return at[1] == '_' ? 2 : 1;
	return strspn(at, "-");
}

static bool path_valid(const char *path)
{
	for (;;) {
		size_t length = strspn(path, LOWER);

		if (length == 0)
			return false;
		path += length;
		if (*path == '\0')
			return true;
		length = *path == '/' ? 1 : separator_length(path);
		if (length == 0)
			return false;
		path += length;
	}
}

static bool tag_valid(const char *tag)
{
	const size_t length = strlen(tag);

	return length >= 1 && length <= REFERENCE_TAG_MAX && strchr(LETTERS "_", tag[0]) &&
	       strspn(tag, LETTERS "_.-") == length;
}

/* Takes host and path from what is left of the tag; the rest of the work is in the caller. */
static int split_path(const char *text, char *path, struct reference *reference,
		      struct error **ret_error)
{
	char *slash = strchr(path, '/');

	if (slash)
		*slash = '\0';
	if (slash && (is_host_word(path) || path[0] == '[')) {
		/* Both are names that docker gives its own registry. */
		const bool is_default = strcmp(path, "index.docker.io") == 0;

		if (!host_valid(path))
			return refuse(ret_error, text, "no valid host before the first '/'");
		reference->host = xstrdup(is_default ? REFERENCE_HOST_DEFAULT : path);
		path = slash + 1;
	} else {
		reference->host = xstrdup(REFERENCE_HOST_DEFAULT);
		if (slash)
			*slash = '/';
	}
	if (!path_valid(path))
		return refuse(ret_error, text,
			      "a path has lower case letters and digits, and single '.', '_', "
			      "'__' or dashes between them");
	if (strcmp(reference->host, REFERENCE_HOST_DEFAULT) == 0 && !strchr(path, '/'))
		reference->repository = xasprintf("library/%s", path);
	else
		reference->repository = xstrdup(path);
	if (strlen(reference->host) + 1 + strlen(reference->repository) > REFERENCE_PATH_MAX)
		return refuse(ret_error, text, "host and path have more than 255 bytes");
	return 0;
}

int reference_parse(const char *text, struct reference **ret_reference, struct error **ret_error)
{
	_cleanup_(reference_freep) struct reference *reference = xcalloc(1, sizeof(*reference));
	_cleanup_free_ char *copy = NULL;
	char *at, *colon;

	if (strlen(text) > REFERENCE_SIZE_MAX)
		return error_set(ret_error, EINVAL, "invalid image name: more than %d bytes",
				 REFERENCE_SIZE_MAX);
	copy = xstrdup(text);
	at = strchr(copy, '@');
	if (at) {
		*at++ = '\0';
		if (!digest_valid(at))
			return refuse(
			    ret_error, text,
			    "after '@' comes sha256: and 64 lower case hexadecimal digits");
		reference->digest = xstrdup(at);
	}
	colon = strrchr(copy, ':');
	if (colon && !strchr(colon, '/') && !strchr(colon, ']')) {
		*colon++ = '\0';
		if (!tag_valid(colon))
			return refuse(ret_error, text,
				      "a tag has up to 128 letters, digits, '_', '.' and '-'");
		reference->tag = xstrdup(colon);
	}
	if (split_path(text, copy, reference, ret_error) < 0)
		return -1;
	if (!reference->tag && !reference->digest)
		reference->tag = xstrdup("latest");
	reference->name =
	    xasprintf("%s/%s%s%s%s%s", reference->host, reference->repository,
		      reference->tag ? ":" : "", reference->tag ? reference->tag : "",
		      reference->digest ? "@" : "", reference->digest ? reference->digest : "");
	*ret_reference = TAKE_PTR(reference);
	return 0;
}

void reference_free(struct reference *reference)
{
	if (!reference)
		return;
	free(reference->host);
	free(reference->repository);
	free(reference->tag);
	free(reference->digest);
	free(reference->name);
	free(reference);
}

const char *reference_wanted(const struct reference *reference)
{
	return reference->digest ? reference->digest : reference->tag;
}
