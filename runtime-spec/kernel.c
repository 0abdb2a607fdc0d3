/* Finding the guest kernel: see kernel.h. */
#include "runtime-spec/kernel.h"

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
	free(kernel);
}

/* directory/name if it can be read, else NULL. */
static char *readable(const char *directory, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);

	return access(path, R_OK) == 0 ? TAKE_PTR(path) : NULL;
}

/* Fills image and modules from a kernel directory or an image; false when there
 * is no kernel. */
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
			kernel->modules = readable(path, "modules.cpio");
		return kernel->image != NULL;
	}
	if (!S_ISREG(st.st_mode) || access(path, R_OK) < 0)
		return false;
	kernel->image = xstrdup(path);
	directory = xstrdup(path);
	slash = strrchr(directory, '/');
	if (slash) {
		*slash = '\0';
		kernel->modules = readable(directory, "modules.cpio");
	}
	return true;
}

static int find_image(const char *const *named, size_t n, struct kernel *kernel,
		      struct error **ret_error)
{
	static const char *const kinds[] = { "small", "cloud" };
	_cleanup_free_ char *cache = paths_cache();

	for (size_t i = 0; i < n; i++) {
		if (!named[i] || !named[i][0])
			continue;
		if (look_at(named[i], kernel))
			return 0;
		return error_set(ret_error, ENOENT,
				 "kernel not found: %s is neither a kernel image nor a directory "
				 "with a vmlinux or vmlinuz that can be read",
				 named[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_cleanup_free_ char *directory = xasprintf("%s/kernel/%s", cache, kinds[i]);

		if (look_at(directory, kernel))
			return 0;
	}
	return error_set(ret_error, ENOENT,
			 "kernel not found: there is none in %s/kernel/small or "
			 "%s/kernel/cloud; build one with \"make kernel\" or name one with "
			 "--kernel, SUPERMACHINE_KERNEL or the configuration file",
			 cache, cache);
}

int kernel_find(const char *const *named, size_t n, struct kernel **ret_kernel,
		struct error **ret_error)
{
	_cleanup_(kernel_freep) struct kernel *kernel = xcalloc(1, sizeof(*kernel));

	if (find_image(named, n, kernel, ret_error) < 0)
		return -1;
	*ret_kernel = TAKE_PTR(kernel);
	return 0;
}
