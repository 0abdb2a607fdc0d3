/* SPDX-License-Identifier: Apache-2.0 */
/* Where the project's own files are: see paths.h. */
#include "base/paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

#define ROOT_CACHE "/var/cache/supermachine"
#define QEMU_PROGRAM "qemu-system-x86_64"

/* Of this program; NULL without a /proc. An upgrade replaces the file, but not the path. */
static char *own_path(void)
{
	static const char deleted[] = " (deleted)";
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	size_t length;

	if (n <= 0 || path[0] != '/')
		return NULL;
	path[n] = '\0';
	length = strlen(path);
	if (length > strlen(deleted) && strcmp(path + length - strlen(deleted), deleted) == 0)
		path[length - strlen(deleted)] = '\0';
	return xstrdup(path);
}

static char *own_directory(void)
{
	char *path = own_path();

	if (path)
		*strrchr(path, '/') = '\0';
	return path;
}

/* The directory holds the program, itself or behind symbolic links. */
static bool holds(const char *directory, const char *program)
{
	_cleanup_free_ char *path = xasprintf("%s%s", directory, strrchr(program, '/'));
	_cleanup_free_ char *real = realpath(path, NULL);

	return real && strcmp(real, program) == 0;
}

bool paths_installed(void)
{
	_cleanup_free_ char *own = own_path();

	return !own || holds(BINDIR, own) || holds(PKGLIBEXECDIR, own);
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
	const size_t n = paths_installed() ? ARRAY_SIZE(directories) : 1;

	return find(name, directories, n, X_OK, ret_path, ret_error);
}

int paths_find_data(const char *name, char **ret_path, struct error **ret_error)
{
	_cleanup_free_ char *own = own_directory();
	const char *const directories[] = { own, PKGDATADIR };
	const size_t n = paths_installed() ? ARRAY_SIZE(directories) : 1;

	return find(name, directories, n, R_OK, ret_path, ret_error);
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *paths_search(const char *name)
{
	const char *path = getenv("PATH");

	for (size_t length; path && *path; path += length + (path[length] == ':')) {
		_cleanup_free_ char *candidate = NULL;

		length = strcspn(path, ":");
		/* What "." and the like name depends on where one stands. */
		if (path[0] != '/')
			continue;
		candidate = xasprintf("%.*s/%s", (int)length, path, name);
		if (is_program(candidate))
			return TAKE_PTR(candidate);
	}
	return NULL;
}

int paths_find_qemu(char **ret_path, struct error **ret_error)
{
	const char *set = getenv("SUPERMACHINE_QEMU");
	char *path;

	if (set && set[0] && !is_program(set))
		return error_set(ret_error, ENOENT,
				 "QEMU not found: SUPERMACHINE_QEMU=%s is not a "
				 "program",
				 set);
	if (set && set[0])
		path = xstrdup(set);
	else
		path = is_program(WITH_QEMU) ? xstrdup(WITH_QEMU) : paths_search(QEMU_PROGRAM);
	if (!path)
		return error_set(ret_error, ENOENT,
				 "QEMU not found: there is neither " WITH_QEMU
				 " nor a " QEMU_PROGRAM
				 " in PATH: install the Debian package qemu-system-x86");
	*ret_path = path;
	return 0;
}

static bool is_ours(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       (st.st_mode & 022) == 0;
}

/* Where a login makes one, and su(1) does not tell of it; else, as podman has it, one below /tmp,
 * unless somebody else has made it. */
static char *own_runtime(void)
{
	_cleanup_free_ char *of_login = xasprintf("/run/user/%u", geteuid());
	_cleanup_free_ char *path = xasprintf("/tmp/supermachine-%u", geteuid());

	if (is_ours(of_login))
		return xasprintf("%s/supermachine", of_login);
	(void)mkdir(path, 0700);
	return is_ours(path) ? TAKE_PTR(path) : NULL;
}

char *paths_runtime(void)
{
	_cleanup_free_ char *own = NULL;
	const char *set = getenv("SUPERMACHINE_RUNTIME");
	const char *xdg = getenv("XDG_RUNTIME_DIR");

	if (set && set[0] == '/')
		return xstrdup(set);
	if (geteuid() != 0 && xdg && xdg[0] == '/')
		return xasprintf("%s/supermachine", xdg);
	own = geteuid() != 0 ? own_runtime() : NULL;
	return own ? TAKE_PTR(own) : xstrdup("/run/supermachine");
}

/* A directory for what a user keeps: named by a variable of ours, else root's, else below the one
 * of XDG's, else below the home directory. */
static char *kept_directory(const char *variable, const char *of_root, const char *xdg_variable,
			    const char *below_home)
{
	const char *set = getenv(variable);
	const char *xdg = getenv(xdg_variable);
	const char *home = getenv("HOME");

	if (set && set[0] == '/')
		return xstrdup(set);
	if (geteuid() == 0)
		return xstrdup(of_root);
	if (xdg && xdg[0] == '/')
		return xasprintf("%s/supermachine", xdg);
	return xasprintf("%s/%s/supermachine", home && home[0] == '/' ? home : "/tmp", below_home);
}

char *paths_cache(void)
{
	return kept_directory("SUPERMACHINE_CACHE", ROOT_CACHE, "XDG_CACHE_HOME", ".cache");
}

const char *paths_shared_cache(void)
{
	const char *set = getenv("SUPERMACHINE_CACHE");

	return geteuid() == 0 || (set && set[0]) ? NULL : ROOT_CACHE;
}

char *paths_store(void)
{
	return kept_directory("SUPERMACHINE_STORE", "/var/lib/supermachine", "XDG_DATA_HOME",
			      ".local/share");
}
