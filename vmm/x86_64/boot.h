/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel is started with: see arch.h, arch_load(). */
#pragma once

#include <asm/bootparam.h>

#include "base/error.h"
#include "virtio/memory.h"

/* The memory map as the boot protocol tells it.  Returns how many entries. */
#define E820_ENTRIES_USED 4
size_t e820_fill(const struct guest_memory *memory,
		 struct boot_e820_entry ret_entries[E820_ENTRIES_USED]);

/* The GDT and the page tables that a vCPU starts with: the first 4 GiB mapped
 * one to one. */
int boot_load_tables(const struct guest_memory *memory, struct error **ret_error);
