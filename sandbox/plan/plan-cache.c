/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache modes of a container's shares (plan-files.h), rootfs/share/fuse.h has what they mean:
 *
 *   io.supermachine.cache = [MODE] [PATH=MODE] …    separated by commas
 *
 * MODE alone is for all shares, PATH is where the container has one of them, "/" its root.
 * One annotation rather than an option of each mount: podman, Docker and Kubernetes pass
 * annotations on, but let nobody write an option that they do not know; and a key with a
 * path in it is none to Kubernetes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "runtime-spec/machine-options.h"
#include "sandbox/plan/plan-files.h"

void plan_cache_done(struct plan_cache *cache)
{
	for (size_t i = 0; i < cache->n_entries; i++)
		free(cache->entries[i].path);
	free(cache->entries);
	*cache = (struct plan_cache){ 0 };
}

/* As in struct plan_cache_entry; caller frees. */
static char *plain_path(const char *path)
{
	size_t length = strlen(path);

	while (length > 0 && path[length - 1] == '/')
		length--;
	return xasprintf("%.*s", (int)length, path);
}

static struct plan_cache_entry *find(const struct plan_cache *cache, const char *path)
{
	_cleanup_free_ char *plain = plain_path(path);

	for (size_t i = 0; i < cache->n_entries; i++)
		if (strcmp(cache->entries[i].path, plain) == 0)
			return &cache->entries[i];
	return NULL;
}

static int add_path(const char *path, enum vm_fs_cache mode, struct plan_cache *cache,
		    struct error **ret_error)
{
	if (path[0] != '/')
		return error_set(ret_error, EINVAL,
				 "\"%s\" is not an absolute path in the container", path);
	if (find(cache, path))
		return error_set(ret_error, EINVAL, "%s has two cache modes", path);
	cache->entries =
	    xreallocarray(cache->entries, cache->n_entries + 1, sizeof(cache->entries[0]));
	cache->entries[cache->n_entries++] =
	    (struct plan_cache_entry){ .path = plain_path(path), .mode = mode };
	return 0;
}

static int add_word(char *word, struct plan_cache *cache, struct error **ret_error)
{
	char *equals = strrchr(word, '=');
	const char *name = equals ? equals + 1 : word;
	enum vm_fs_cache mode;

	if (!vm_fs_cache_parse(name, &mode))
		return error_set(ret_error, EINVAL,
				 "unknown cache mode \"%s\": must be auto, always or none", name);
	if (equals) {
		*equals = '\0';
		return add_path(word, mode, cache, ret_error);
	}
	if (cache->named)
		return error_set(ret_error, EINVAL, "two cache modes for all shares: %s and %s",
				 vm_fs_cache_name(cache->mode), word);
	cache->named = true;
	cache->mode = mode;
	return 0;
}

int plan_cache_read(const struct spec *spec, struct plan_cache *cache, struct error **ret_error)
{
	const char *text = spec_annotation(spec, ANNOTATION_CACHE);
	_cleanup_free_ char *copy = text ? xstrdup(text) : NULL;
	char *rest = copy;

	while (rest)
		if (add_word(strsep(&rest, ","), cache, ret_error) < 0)
			return error_wrap(ret_error, "annotations[\"" ANNOTATION_CACHE "\"]");
	return 0;
}

char *plan_cache_share(struct plan_cache *cache, const struct plan_files_request *request,
		       const char *base, const char *destination, struct plan_files *files)
{
	struct plan_cache_entry *entry = find(cache, destination);
	enum vm_fs_cache mode = entry ? entry->mode : cache->mode;

	if (entry)
		entry->used = true;
	/* A container that joins a machine does not know what its mode is. */
	if (request->sandbox_pid ? !entry && !cache->named : mode == cache->mode)
		return xasprintf("%s/%s", request->stage, base);
	files->cache_by_name = true;
	return xasprintf("%s/%s%c%s", request->stage, base, VM_FS_CACHE_MARK,
			 vm_fs_cache_name(mode));
}

int plan_cache_check(const struct plan_cache *cache, struct error **ret_error)
{
	for (size_t i = 0; i < cache->n_entries; i++) {
		const struct plan_cache_entry *entry = &cache->entries[i];

		if (entry->used)
			continue;
		if (!entry->path[0])
			return error_set(ret_error, EINVAL,
					 "annotations[\"" ANNOTATION_CACHE
					 "\"]: /: the root file system is not a share");
		return error_set(ret_error, EINVAL,
				 "annotations[\"" ANNOTATION_CACHE
				 "\"]: %s: the container has no directory or file bound there",
				 entry->path);
	}
	return 0;
}
