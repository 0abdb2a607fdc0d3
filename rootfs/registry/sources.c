/* SPDX-License-Identifier: Apache-2.0 */
/* Where images are fetched from: see sources.h. */
#include "rootfs/registry/sources.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "rootfs/registry/toml.h"

#define CONF_SIZE_MAX (1u << 20)
#define SYSTEM "/etc/containers/registries.conf"

enum pull_from { PULL_FROM_ALL, PULL_FROM_DIGEST_ONLY, PULL_FROM_TAG_ONLY };

struct mirror {
	char *location;
	bool insecure;
	enum pull_from from;
};

/* One [[registry]]. */
struct entry {
	char *prefix, *location; /* location NULL: the name as it is */
	bool insecure, blocked;
	struct mirror *mirrors;
	size_t n_mirrors;
	char *file; /* that says so */
};

struct entries {
	struct entry *all;
	size_t n;
};

static void entry_done(struct entry *entry)
{
	for (size_t i = 0; i < entry->n_mirrors; i++)
		free(entry->mirrors[i].location);
	free(entry->mirrors);
	free(entry->prefix);
	free(entry->location);
	free(entry->file);
}

static void entries_done(struct entries *entries)
{
	for (size_t i = 0; i < entries->n; i++)
		entry_done(&entries->all[i]);
	free(entries->all);
}

void sources_free(struct source *sources, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		reference_free(sources[i].reference);
		endpoint_free(sources[i].endpoint);
	}
	free(sources);
}

const char *source_host(const struct source *source)
{
	return source->endpoint ? source->endpoint->host : source->reference->host;
}

/* ---- the files ---- */

/* A slash at the end says nothing (containers/image takes it off, too).  NULL: there is none. */
static void take_slashes_off(char *name)
{
	size_t length = name ? strlen(name) : 0;

	while (length > 0 && name[length - 1] == '/')
		name[--length] = '\0';
}

static int read_from(const struct json_at *mirror, bool by_digest, enum pull_from *ret_from,
		     struct error **ret_error)
{
	static const char *const words[] = { [PULL_FROM_ALL] = "all",
					     [PULL_FROM_DIGEST_ONLY] = "digest-only",
					     [PULL_FROM_TAG_ONLY] = "tag-only" };
	_cleanup_free_ char *word = NULL;

	*ret_from = by_digest ? PULL_FROM_DIGEST_ONLY : PULL_FROM_ALL;
	if (json_get_string(mirror, "pull-from-mirror", JSON_OPTIONAL, &word, ret_error) < 0)
		return -1;
	if (!word || !word[0])
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(word, words[i]) == 0) {
			*ret_from = (enum pull_from)i;
			return 0;
		}
	}
	return error_set(ret_error, EINVAL,
			 "pull-from-mirror: must be all, digest-only or tag-only, not \"%s\"",
			 word);
}

static int read_mirrors(const struct json_at *registry, struct entry *entry,
			struct error **ret_error)
{
	struct json_at mirrors;
	bool by_digest = false;

	if (json_get_bool(registry, "mirror-by-digest-only", JSON_OPTIONAL, &by_digest, ret_error) <
		0 ||
	    json_array(registry, "mirror", JSON_OPTIONAL, &mirrors, ret_error) < 0)
		return -1;
	entry->mirrors = xcalloc(json_length(&mirrors) + 1, sizeof(*entry->mirrors));
	for (size_t i = 0; i < json_length(&mirrors); i++) {
		struct json_at at = json_element(&mirrors, i);
		struct mirror *mirror = &entry->mirrors[entry->n_mirrors++];

		if (json_as_object(&at, ret_error) < 0 ||
		    json_get_string(&at, "location", JSON_REQUIRED, &mirror->location, ret_error) <
			0 ||
		    json_get_bool(&at, "insecure", JSON_OPTIONAL, &mirror->insecure, ret_error) <
			0 ||
		    read_from(&at, by_digest, &mirror->from, ret_error) < 0)
			return -1;
		take_slashes_off(mirror->location);
	}
	return 0;
}

static int read_entry(const struct json_at *at, struct entry *entry, struct error **ret_error)
{
	if (json_as_object(at, ret_error) < 0 ||
	    json_get_string(at, "prefix", JSON_OPTIONAL, &entry->prefix, ret_error) < 0 ||
	    json_get_string(at, "location", JSON_OPTIONAL, &entry->location, ret_error) < 0 ||
	    json_get_bool(at, "insecure", JSON_OPTIONAL, &entry->insecure, ret_error) < 0 ||
	    json_get_bool(at, "blocked", JSON_OPTIONAL, &entry->blocked, ret_error) < 0)
		return -1;
	take_slashes_off(entry->prefix);
	take_slashes_off(entry->location);
	if (entry->location && !entry->location[0])
		free(TAKE_PTR(entry->location));
	if (entry->prefix && !entry->prefix[0])
		free(TAKE_PTR(entry->prefix));
	if (!entry->prefix && !entry->location)
		return error_set(ret_error, EINVAL, "a registry has no prefix and no location");
	if (!entry->prefix)
		entry->prefix = xstrdup(entry->location);
	return read_mirrors(at, entry, ret_error);
}

static void keep_entry(struct entries *entries, struct entry *entry)
{
	entries->all = xreallocarray(entries->all, entries->n + 1, sizeof(*entries->all));
	entries->all[entries->n++] = *entry;
}

static int read_registries(const char *path, const struct json_at *root, struct entries *entries,
			   struct error **ret_error)
{
	struct json_at registries, old;

	if (json_member(root, "registries", JSON_OPTIONAL, &old, ret_error) < 0 ||
	    json_array(root, "registry", JSON_OPTIONAL, &registries, ret_error) < 0)
		return -1;
	if (json_present(&old))
		log_warning("%s: what is in \"registries\" is not read: that is version 1 of its "
			    "format",
			    path);
	for (size_t i = 0; i < json_length(&registries); i++) {
		struct json_at at = json_element(&registries, i);
		struct entry entry = { .file = xstrdup(path) };

		if (read_entry(&at, &entry, ret_error) < 0) {
			entry_done(&entry);
			return -1;
		}
		keep_entry(entries, &entry);
	}
	return 0;
}

/* 1: it is there. */
static int read_conf(const char *path, struct entries *entries, struct error **ret_error)
{
	_cleanup_free_ char *text = NULL, *json = NULL;
	_cleanup_error_ struct error *error = NULL;
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;
	size_t size;

	if (read_regular_file(path, CONF_SIZE_MAX, &text, &size, &error) < 0) {
		if (error->code == ENOENT || error->code == ENOTDIR)
			return 0;
		return error_set(ret_error, error->code, "%s", error->message);
	}
	if (toml_to_json(text, size, path, &json, ret_error) < 0 ||
	    json_parse(json, strlen(json), path, &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	return read_registries(path, &root, entries, ret_error) < 0
		   ? error_wrap(ret_error, "%s", path)
		   : 1;
}

static int is_conf(const struct dirent *entry)
{
	return fnmatch("*.conf", entry->d_name, FNM_PERIOD) == 0;
}

static int read_drop_ins(const char *directory, struct entries *entries, struct error **ret_error)
{
	struct dirent **names = NULL;
	const int n = scandir(directory, &names, is_conf, alphasort);
	int result = 0;

	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", directory, names[i]->d_name);

		if (result == 0 && read_conf(path, entries, ret_error) < 0)
			result = -1;
		free(names[i]);
	}
	free(names);
	return result;
}

static int read_files(struct entries *entries, struct error **ret_error)
{
	const char *named = getenv("CONTAINERS_REGISTRIES_CONF"), *home = getenv("HOME");
	_cleanup_free_ char *own =
	    home && home[0] ? xasprintf("%s/.config/containers/registries.conf", home) : NULL;
	_cleanup_free_ char *own_directory = own ? xasprintf("%s.d", own) : NULL;
	int found = 0;

	if (named && named[0]) {
		if (read_conf(named, entries, ret_error) < 0)
			return -1;
	} else {
		if (own)
			found = read_conf(own, entries, ret_error);
		if (found == 0)
			found = read_conf(SYSTEM, entries, ret_error);
		if (found < 0)
			return -1;
	}
	if (read_drop_ins(SYSTEM ".d", entries, ret_error) < 0)
		return -1;
	return own_directory ? read_drop_ins(own_directory, entries, ret_error) : 0;
}

/* ---- matching ---- */

/* How much of the name the prefix stands for; 0: it does not match.  "*.example.com" is for the
 * hosts below it. */
static size_t match(const char *prefix, const char *name)
{
	size_t length = strlen(prefix);

	if (strncmp(prefix, "*.", 2) == 0) {
		const size_t host = strcspn(name, "/:"), suffix = length - 1;

		if (host <= suffix || strncmp(name + host - suffix, prefix + 1, suffix) != 0)
			return 0;
		length = host;
	} else if (strncmp(name, prefix, length) != 0) {
		return 0;
	}
	return strchr("/:@", name[length]) ? length : 0;
}

static const struct entry *find_entry(const struct entries *entries, const char *name,
				      size_t *ret_length)
{
	const struct entry *found = NULL;
	size_t best = 0;

	for (size_t i = 0; i < entries->n; i++) {
		const size_t length = match(entries->all[i].prefix, name);

		/* Of a host's own entry and one with a wildcard, the former; of two for the same
		 * prefix, the last. */
		if (length == 0 || length < best ||
		    (length == best && found && entries->all[i].prefix[0] == '*' &&
		     found->prefix[0] != '*'))
			continue;
		best = length;
		found = &entries->all[i];
	}
	*ret_length = best;
	return found;
}

static int add(const char *location, const char *rest, bool insecure, struct source **sources,
	       size_t *n, struct error **ret_error)
{
	_cleanup_free_ char *name = xasprintf("%s%s", location, rest);
	struct source *source;

	*sources = xreallocarray(*sources, *n + 1, sizeof(**sources));
	source = &(*sources)[*n];
	*source = (struct source){ .insecure = insecure };
	if (reference_parse(name, &source->reference, ret_error) < 0)
		return error_wrap(ret_error, "location \"%s\"", location);
	++*n;
	return 0;
}

static bool is_for(const struct mirror *mirror, const struct reference *reference)
{
	return mirror->from == PULL_FROM_ALL ||
	       (mirror->from == PULL_FROM_DIGEST_ONLY) == (reference->digest != NULL);
}

static int add_all(const struct entry *entry, size_t length, const struct reference *reference,
		   struct source **sources, size_t *n, struct error **ret_error)
{
	const char *rest = reference->name + length;
	_cleanup_free_ char *same = xstrndup(reference->name, length);

	for (size_t i = 0; i < entry->n_mirrors; i++)
		if (is_for(&entry->mirrors[i], reference) &&
		    add(entry->mirrors[i].location, rest, entry->mirrors[i].insecure, sources, n,
			ret_error) < 0)
			return -1;
	return add(entry->location ? entry->location : same, rest, entry->insecure, sources, n,
		   ret_error);
}

/* Of a name that registries.conf has nothing for. */
static int add_hosts(const struct reference *reference, struct source **sources, size_t *n,
		     struct error **ret_error)
{
	struct endpoint **endpoints;
	int result = 0;

	if (hosts_find(reference, &endpoints, ret_error) < 0)
		return -1;
	if (!endpoints)
		return add(reference->name, "", false, sources, n, ret_error);
	for (size_t i = 0; endpoints[i]; i++) {
		if (result == 0)
			result = add(reference->name, "", false, sources, n, ret_error);
		if (result == 0)
			(*sources)[*n - 1].endpoint = endpoints[i];
		else
			endpoint_free(endpoints[i]);
	}
	free(endpoints);
	return result;
}

int sources_find(const struct reference *reference, struct source **ret_sources, size_t *ret_n,
		 struct error **ret_error)
{
	_cleanup_(entries_done) struct entries entries = { 0 };
	struct source *sources = NULL;
	const struct entry *entry;
	size_t n = 0, length;
	int result;

	if (read_files(&entries, ret_error) < 0)
		return -1;
	entry = find_entry(&entries, reference->name, &length);
	if (entry && entry->blocked)
		return error_set(ret_error, EPERM, "registry %s is blocked in %s", entry->prefix,
				 entry->file);
	if (entry)
		result = add_all(entry, length, reference, &sources, &n, ret_error);
	else
		result = add_hosts(reference, &sources, &n, ret_error);
	if (result < 0) {
		sources_free(sources, n);
		return entry ? error_wrap(ret_error, "%s", entry->file) : -1;
	}
	*ret_sources = sources;
	*ret_n = n;
	return 0;
}
