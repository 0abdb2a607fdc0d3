/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel images.  One way in for both formats, the 64-bit boot protocol
 * (Documentation/x86/boot.rst): long mode, identity-mapped, RSI at the
 * boot_params.  PVH would need a second start state (32-bit, its own start info)
 * and wins nothing: vmlinux's ELF entry point is the same startup_64.
 */
#pragma once

#include <asm/bootparam.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "virtio/memory.h"
#include "vmm/image.h"

struct kernel {
	gpa_t entry;
	gpa_t end;		   /* first address the initramfs may use */
	gpa_t initramfs_max;	   /* last address its last byte may have */
	uint64_t cmdline_max;	   /* bytes, without the NUL */
	struct setup_header setup; /* from a bzImage; for ELF zero but for KASLR_FLAG */
};

/* Recognises the format and loads it.  may_move: an ELF kernel that can have random addresses gets
 * them (relocate.h); a bzImage sees to that itself. */
int kernel_load(const struct image *image, const struct guest_memory *memory, bool may_move,
		struct kernel *ret_kernel, struct error **ret_error);

int elf_load(const struct image *image, const struct guest_memory *memory, bool may_move,
	     struct kernel *ret_kernel, struct error **ret_error);
