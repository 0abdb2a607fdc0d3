/* SPDX-License-Identifier: Apache-2.0 */
/* Names of cgroups: see cgroup-terms.h. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "runtime-spec/cgroup-terms.h"

static bool has_parent_component(const char *path)
{
	while (*path) {
		size_t length = strcspn(path, "/");

		if (length == 2 && path[0] == '.' && path[1] == '.')
			return true;
		path += length;
		path += strspn(path, "/");
	}
	return false;
}

/* Nothing of a path is a control character: others write it to lines of their own. */
static bool has_control_character(const char *path)
{
	for (; *path; path++)
		if ((unsigned char)*path < ' ' || *path == '\x7f')
			return true;
	return false;
}

/* Without empty components and "."; relative stays relative.  (runc's filepath.Clean().) */
static char *clean_path(const char *path)
{
	char *cleaned = xmalloc(strlen(path) + 1), *end = cleaned;

	if (path[0] == '/')
		*end++ = '/';
	while (*path) {
		const size_t length = strcspn(path, "/");

		if (length > 0 && !(length == 1 && path[0] == '.')) {
			if (end > cleaned && end[-1] != '/')
				*end++ = '/';
			memcpy(end, path, length);
			end += length;
		}
		path += length;
		path += strspn(path, "/");
	}
	*end = '\0';
	return cleaned;
}

/* systemd.slice(5): "a-b.slice" lies in "a.slice", and "-.slice" is the root. */
static char *expand_slice(const char *slice)
{
	char *path = xstrdup("");
	size_t stem = strlen(slice) - strlen(".slice");

	for (size_t i = 1; i <= stem; i++) {
		char *longer;

		if ((i < stem && slice[i] != '-') || strcmp(slice, "-.slice") == 0)
			continue;
		longer = xasprintf("%s/%.*s.slice", path, (int)i, slice);
		free(path);
		path = longer;
	}
	return path;
}

void cgroup_terms_unit(const char *cgroups_path, char **ret_slice, char **ret_name)
{
	const char *prefix = strchr(cgroups_path, ':') + 1;
	const char *name = strchr(prefix, ':') + 1;
	const int length = (int)(name - 1 - prefix);

	*ret_slice = xstrndup(cgroups_path, (size_t)(prefix - 1 - cgroups_path));
	*ret_name = strchr(name, '.') && strcmp(strrchr(name, '.'), ".slice") == 0
			? xstrdup(name)
			: xasprintf("%.*s%s%s.scope", length, prefix, length ? "-" : "", name);
}

static char *systemd_path(const char *cgroups_path)
{
	_cleanup_free_ char *slice = NULL, *name = NULL, *parent = NULL;
	size_t length;

	cgroup_terms_unit(cgroups_path, &slice, &name);
	length = strlen(slice);
	if (length == 0)
		parent = xstrdup("/system.slice");
	else if (length > 6 && strcmp(slice + length - 6, ".slice") == 0)
		parent = expand_slice(slice);
	else
		parent = xasprintf("/%s", slice);
	return xasprintf("%s/%s", parent, name);
}

bool cgroup_terms_is_systemd(const char *cgroups_path)
{
	const char *first = strchr(cgroups_path, ':');
	const char *second = first ? strchr(first + 1, ':') : NULL;

	return second && !strchr(second + 1, ':');
}

int cgroup_terms_path(const char *cgroups_path, char **ret_path, struct error **ret_error)
{
	_cleanup_free_ char *path = cgroup_terms_is_systemd(cgroups_path)
					? systemd_path(cgroups_path)
					: xstrdup(cgroups_path);
	_cleanup_free_ char *cleaned = clean_path(path);

	/* (Not shown: it would be in lines of a log, too.) */
	if (has_control_character(path))
		return error_set(ret_error, EINVAL,
				 "linux.cgroupsPath must not contain a control character");
	if (has_parent_component(path))
		return error_set(ret_error, EINVAL, "linux.cgroupsPath: \"%s\" must not contain ..",
				 cgroups_path);
	if (cleaned[strspn(cleaned, "/")] == '\0')
		return error_set(ret_error, EINVAL,
				 "linux.cgroupsPath: \"%s\" does not name a cgroup", cgroups_path);
	*ret_path = TAKE_PTR(cleaned);
	return 0;
}
