/* SPDX-License-Identifier: Apache-2.0 */
/* `check`: what the guest is made of, and the programs around it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/paths.h"
#include "cli/check.h"
#include "host/kernel.h"

#define RELEASE_SIZE_MAX 256
#define CONFIG_SIZE_MAX (4u << 20)

/* A file of the kernel's directory, which holds the image; NULL where there is
 * none.  Caller frees. */
static char *beside(const struct kernel *kernel, const char *name)
{
	const char *slash = strrchr(kernel->image, '/');
	_cleanup_free_ char *path =
	    xasprintf("%.*s/%s", slash ? (int)(slash - kernel->image) : 0, kernel->image, name);

	return access(path, F_OK) == 0 ? TAKE_PTR(path) : NULL;
}

/* "VIRTIO_BLK OVERLAY_FS": what the agent needs in the guest and the kernel's
 * configuration has not built in.  "" where all is there. */
static char *not_built_in(const char *config)
{
	/* Without modules, those of contrib/kernel/modules.list. */
	static const char *const needed[] = { "VIRTIO_MMIO",	 "VIRTIO_CONSOLE", "VIRTIO_BLK",
					      "VIRTIO_VSOCKETS", "SQUASHFS",	   "OVERLAY_FS" };
	_cleanup_free_ char *text = NULL;
	char *missing = xstrdup("");

	if (read_file(config, CONFIG_SIZE_MAX, &text, NULL, NULL) < 0)
		return missing;
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		_cleanup_free_ char *set = xasprintf("\nCONFIG_%s=y\n", needed[i]);
		_cleanup_free_ char *shorter = NULL;

		if (strstr(text, set))
			continue;
		shorter = missing;
		missing = xasprintf("%s%s%s", shorter, shorter[0] ? " " : "", needed[i]);
	}
	return missing;
}

static void check_modules(struct check *check, const struct kernel *kernel)
{
	_cleanup_free_ char *all = beside(kernel, "lib/modules");
	_cleanup_free_ char *config = beside(kernel, "config");
	_cleanup_free_ char *missing = NULL;

	if (kernel->modules) {
		check_add(check, "kernel modules", LEVEL_OK, xstrdup(kernel->modules), NULL);
		return;
	}
	if (all) {
		check_add(
		    check, "kernel modules", LEVEL_FAIL,
		    xasprintf("the kernel is modular (%s), but there is no modules.cpio beside it",
			      all),
		    xstrdup("make cloud-kernel"));
		return;
	}
	missing = config ? not_built_in(config) : xstrdup("");
	if (missing[0])
		check_add(check, "kernel modules", LEVEL_FAIL,
			  xasprintf("not built in: %s, and no modules.cpio provides them", missing),
			  xstrdup("make kernel"));
	else
		check_add(check, "kernel modules", LEVEL_OK,
			  xstrdup(config ? "built in" : "none: assuming that drivers are built in"),
			  NULL);
}

void check_kernel(struct check *check)
{
	_cleanup_(kernel_freep) struct kernel *kernel = NULL;
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *release = NULL;
	_cleanup_free_ char *path = NULL;

	if (kernel_find(NULL, 0, check->settings, &kernel, &error) < 0) {
		check_add(check, "guest kernel", LEVEL_FAIL, xstrdup(error->message),
			  xstrdup("make cloud-kernel"));
		return;
	}
	path = beside(kernel, "release");
	if (path && read_file(path, RELEASE_SIZE_MAX, &release, NULL, NULL) == 0)
		release[strcspn(release, "\n")] = '\0';
	check_add(
	    check, "guest kernel", LEVEL_OK,
	    xasprintf("%s%s%s", kernel->image, release ? ", release " : "", release ? release : ""),
	    NULL);
	check_modules(check, kernel);
}

static void add_found(struct check *check, const char *name, int result, char *path,
		      struct error *error)
{
	if (result < 0)
		check_add(check, name, LEVEL_FAIL, xstrdup(error->message), NULL);
	else
		check_add(check, name, LEVEL_OK, path, NULL);
	error_free(error);
}

void check_programs(struct check *check)
{
	struct error *error = NULL;
	char *path = NULL;
	int result = 0;

	if (check->host->vmm)
		path = xstrdup(check->host->vmm);
	else
		result = paths_find_program("supermachine-vmm", &path, &error);
	add_found(check, "VMM", result, path, error);
	error = NULL;
	result = paths_find_program("containerd-shim-supermachine-v1", &path, &error);
	add_found(check, "task server", result, path, error);
	error = NULL;
	result = paths_find_data("initramfs.cpio", &path, &error);
	add_found(check, "agent", result, path, error);
}
