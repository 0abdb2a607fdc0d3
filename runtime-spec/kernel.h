/*
 * Which guest kernel to boot.
 *
 * A kernel is named by a directory ("vmlinux" or "vmlinuz", and "modules.cpio"
 * where the kernel is modular) or by the image itself; a modules.cpio beside an
 * image belongs to it.  HACKING.md "The guest" has the order of the search.
 */
#pragma once

#include "base/error.h"

struct kernel {
	char *image;   /* vmlinux, vmlinuz or bzImage */
	char *modules; /* modules.cpio, or NULL */
};

/* The first of the n names that is set (not NULL, not "") must hold a kernel;
 * when none is set, the small and then the cloud kernel of the cache are tried. */
int kernel_find(const char *const *named, size_t n, struct kernel **ret_kernel,
		struct error **ret_error);
void kernel_free(struct kernel *kernel);
DEFINE_CLEANUP(struct kernel, kernel_free)
