/* Where the project's own files are: see paths.h. */
#include "base/paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

static char *own_directory(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (n <= 0)
		return NULL;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	return xstrdup(path);
}

static int find(const char *name, const char *const *directories, size_t n, int mode,
		char **ret_path, struct error **ret_error)
{
	_cleanup_free_ char *tried = xstrdup("");

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *path = NULL;
		char *longer;

		if (!directories[i])
			continue;
		path = xasprintf("%s/%s", directories[i], name);
		if (access(path, mode) == 0) {
			*ret_path = TAKE_PTR(path);
			return 0;
		}
		longer = xasprintf("%s%s%s", tried, tried[0] ? ", " : "", path);
		free(tried);
		tried = longer;
	}
	return error_set(ret_error, ENOENT, "%s not found (looked for %s): run make install", name,
			 tried);
}

int paths_find_program(const char *name, char **ret_path, struct error **ret_error)
{
	_cleanup_free_ char *own = own_directory();
	const char *const directories[] = { own, PKGLIBEXECDIR, BINDIR };

	return find(name, directories, ARRAY_SIZE(directories), X_OK, ret_path, ret_error);
}

int paths_find_data(const char *name, char **ret_path, struct error **ret_error)
{
	_cleanup_free_ char *own = own_directory();
	const char *const directories[] = { own, PKGDATADIR };

	return find(name, directories, ARRAY_SIZE(directories), R_OK, ret_path, ret_error);
}

char *paths_cache(void)
{
	const char *set = getenv("SUPERMACHINE_CACHE");
	const char *xdg = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");

	if (set && set[0] == '/')
		return xstrdup(set);
	if (geteuid() == 0)
		return xstrdup("/var/cache/supermachine");
	if (xdg && xdg[0] == '/')
		return xasprintf("%s/supermachine", xdg);
	return xasprintf("%s/.cache/supermachine", home && home[0] == '/' ? home : "/tmp");
}
