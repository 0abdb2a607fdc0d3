/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the guest kernel: see kernel.h. */
#include "host/kernel.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/paths.h"

void kernel_free(struct kernel *kernel)
{
	if (!kernel)
		return;
	free(kernel->image);
	free(kernel->modules);
	free(kernel->tree);
	free(kernel);
}

/* directory/name if it can be read, else NULL. */
static char *readable(const char *directory, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);

	return access(path, R_OK) == 0 ? TAKE_PTR(path) : NULL;
}

static void find_modules(const char *directory, struct kernel *kernel)
{
	kernel->modules = readable(directory, "modules.cpio");
	if (kernel->modules)
		kernel->tree = readable(directory, "lib/modules");
}

/* Fills it from a kernel directory or an image; false when there is no kernel. */
static bool look_at(const char *path, struct kernel *kernel)
{
	_cleanup_free_ char *directory = NULL;
	struct stat st;
	char *slash;

	if (stat(path, &st) < 0)
		return false;
	if (S_ISDIR(st.st_mode)) {
		kernel->image = readable(path, "vmlinux");
		if (!kernel->image)
			kernel->image = readable(path, "vmlinuz");
		if (kernel->image)
			find_modules(path, kernel);
		return kernel->image != NULL;
	}
	if (!S_ISREG(st.st_mode) || access(path, R_OK) < 0)
		return false;
	kernel->image = xstrdup(path);
	directory = xstrdup(path);
	slash = strrchr(directory, '/');
	if (slash) {
		*slash = '\0';
		find_modules(directory, kernel);
	}
	return true;
}

/* The first name that is set, or NULL. */
static const char *first_named(const char *const *named, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (named[i] && named[i][0])
			return named[i];
	return NULL;
}

static int find_image(const char *named, struct kernel *kernel, struct error **ret_error)
{
	static const char *const kinds[] = { "small", "cloud" };
	_cleanup_free_ char *cache = paths_cache();
	const char *const caches[] = { cache, paths_shared_cache() };
	const size_t n_caches = caches[1] ? 2 : 1;

	if (named && look_at(named, kernel))
		return 0;
	if (named)
		return error_set(ret_error, ENOENT,
				 "kernel not found: %s is neither a kernel image nor a directory "
				 "with a vmlinux or vmlinuz that can be read",
				 named);
	for (size_t i = 0; i < n_caches * ARRAY_SIZE(kinds); i++) {
		_cleanup_free_ char *directory = xasprintf(
		    "%s/kernel/%s", caches[i / ARRAY_SIZE(kinds)], kinds[i % ARRAY_SIZE(kinds)]);

		if (look_at(directory, kernel))
			return 0;
	}
	return error_set(ret_error, ENOENT,
			 "kernel not found: there is none in %s/kernel/small or "
			 "%s/kernel/cloud; fetch one with \"make cloud-kernel\", or name one with "
			 "--kernel, SUPERMACHINE_KERNEL or the configuration file",
			 cache, cache);
}

int kernel_find(const char *const *named, size_t n, const struct settings *settings,
		struct kernel **ret_kernel, struct error **ret_error)
{
	const char *const everywhere[] = { getenv("SUPERMACHINE_KERNEL"), settings->kernel };
	_cleanup_(kernel_freep) struct kernel *kernel = xcalloc(1, sizeof(*kernel));
	const char *name = first_named(named, n);

	if (!name)
		name = first_named(everywhere, ARRAY_SIZE(everywhere));
	if (find_image(name, kernel, ret_error) < 0)
		return -1;
	*ret_kernel = TAKE_PTR(kernel);
	return 0;
}
