/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KASLR for an ELF vmlinux, which comes without the code that does it in a bzImage
 * (arch/x86/boot/compressed/kaslr.c and misc.c: handle_relocations()).
 *
 * A kernel with CONFIG_RANDOMIZE_BASE has a list behind its ELF file of all places that hold an
 * address of its own: numbers of four bytes, each the lower half of such a place's address as the
 * kernel is linked, in three parts, each behind a zero: places of 64 bits; of 32 bits from which
 * the offset is subtracted; of 32 bits.  What moves are virtual addresses alone; in physical
 * memory the kernel stays where it is linked.
 */
#pragma once

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "virtio/memory.h"
#include "vmm/image.h"

/* The kernel is loaded: these are its segments, which end at kernel_end.  list: where in the file
 * the list begins, if there is one.  *ret_moved: by a random multiple of 2 MiB, perhaps 0; false:
 * there is no list (or something else), and nothing has changed. */
int relocate_kernel(const struct image *image, uint64_t list, const Elf64_Phdr *segments,
		    size_t n_segments, gpa_t kernel_end, const struct guest_memory *memory,
		    bool *ret_moved, struct error **ret_error);
