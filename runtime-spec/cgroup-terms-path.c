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

/* systemd.slice(5): "a-b.slice" lies in "a.slice". */
static char *expand_slice(const char *slice)
{
	char *path = xstrdup("");
	size_t stem = strlen(slice) - strlen(".slice");

	for (size_t i = 1; i <= stem; i++) {
		char *longer;

		if (i < stem && slice[i] != '-')
			continue;
		longer = xasprintf("%s/%.*s.slice", path, (int)i, slice);
		free(path);
		path = longer;
	}
	return path;
}

static char *systemd_path(const char *slice, const char *prefix, const char *name)
{
	size_t length = strlen(slice);
	_cleanup_free_ char *parent = NULL;

	if (length == 0)
		parent = xstrdup("/system.slice");
	else if (length > 6 && strcmp(slice + length - 6, ".slice") == 0)
		parent = expand_slice(slice);
	else
		parent = xasprintf("/%s", slice);
	if (strchr(name, '.') && strcmp(strrchr(name, '.'), ".slice") == 0)
		return xasprintf("%s/%s", parent, name);
	return xasprintf("%s/%s%s%s.scope", parent, prefix, *prefix ? "-" : "", name);
}

bool cgroup_terms_is_systemd(const char *cgroups_path)
{
	const char *first = strchr(cgroups_path, ':');
	const char *second = first ? strchr(first + 1, ':') : NULL;

	return second && !strchr(second + 1, ':');
}

int cgroup_terms_path(const char *cgroups_path, char **ret_path, struct error **ret_error)
{
	_cleanup_free_ char *path = xstrdup(cgroups_path);

	if (cgroup_terms_is_systemd(cgroups_path)) {
		_cleanup_free_ char *parts = TAKE_PTR(path);
		char *prefix, *name, *rest = parts;
		const char *slice = strsep(&rest, ":");

		prefix = strsep(&rest, ":");
		name = rest;
		path = systemd_path(slice, prefix, name);
	}
	if (has_parent_component(path))
		return error_set(ret_error, EINVAL, "linux.cgroupsPath: \"%s\" must not contain ..",
				 cgroups_path);
	if (path[strspn(path, "/.")] == '\0')
		return error_set(ret_error, EINVAL,
				 "linux.cgroupsPath: \"%s\" does not name a cgroup", cgroups_path);
	*ret_path = TAKE_PTR(path);
	return 0;
}
