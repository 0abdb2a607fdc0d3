/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which guest kernel to boot.
 *
 * A kernel is named by a directory ("vmlinux" or "vmlinuz", and "modules.cpio"
 * where the kernel is modular, with lib/modules for those that it asks for later) or by the image
 * itself; what is beside an image belongs to it.  doc/flow.md "The guest" has the order of the
 * search.
 */
#pragma once

#include "base/error.h"
#include "host/settings.h"

struct kernel {
	char *image;   /* vmlinux, vmlinuz or bzImage */
	char *modules; /* modules.cpio, or NULL */
	char *tree;    /* lib/modules, which has RELEASE/modules.dep; or NULL */
};

/* The first name that is set (not NULL, not "") must hold a kernel: the n of the one
 * machine, then $SUPERMACHINE_KERNEL, then that of the settings.  When none is set, the small
 * and then the cloud kernel of the cache are tried. */
int kernel_find(const char *const *named, size_t n, const struct settings *settings,
		struct kernel **ret_kernel, struct error **ret_error);
void kernel_free(struct kernel *kernel);
DEFINE_CLEANUP(struct kernel, kernel_free)
