/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bzImage: the real-mode part is skipped, the protected-mode part loaded, and
 * entered at its 64-bit entry point (Documentation/x86/boot.rst, "64-bit BOOT
 * PROTOCOL").
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/checked.h"
#include "vmm/x86_64/kernel.h"
#include "vmm/x86_64/layout.h"

#define SECTOR 512
#define SETUP_MAGIC 0x53726448 /* "HdrS" */
#define PROTOCOL_64BIT 0x020c  /* the first with xloadflags */
#define ENTRY_64BIT 0x200

static int check_setup(const struct image *image, const struct setup_header *setup,
		       struct error **ret_error)
{
	if (setup->header != SETUP_MAGIC)
		return error_set(ret_error, ENOEXEC, "%s is neither an ELF vmlinux nor a bzImage",
				 image->name);
	if (setup->version < PROTOCOL_64BIT || !(setup->xloadflags & XLF_KERNEL_64))
		return error_set(ret_error, ENOEXEC, "%s has no 64-bit entry point", image->name);
	if (setup->pref_address < KERNEL_START || setup->pref_address >= HOLE_START)
		return error_set(ret_error, ENOEXEC, "%s cannot be loaded at 0x%llx", image->name,
				 (unsigned long long)setup->pref_address);
	return 0;
}

/* The header says itself how long it is; what follows is code. */
static int read_setup(const struct image *image, struct setup_header *ret_setup,
		      struct error **ret_error)
{
	const size_t jump_end = offsetof(struct setup_header, jump) + 2;
	struct setup_header setup;
	size_t length;

	if (image_read(image, offsetof(struct boot_params, hdr), &setup, sizeof(setup), ret_error) <
	    0)
		return -1;
	length = jump_end + (setup.jump >> 8); /* a short jump's displacement */
	if (length < sizeof(setup))
		(void)memset((uint8_t *)&setup + length, 0, sizeof(setup) - length);
	*ret_setup = setup;
	return 0;
}

static int bzimage_load(const struct image *image, const struct guest_memory *memory,
			struct kernel *ret_kernel, struct error **ret_error)
{
	struct setup_header setup;
	uint64_t start, size, room;

	if (read_setup(image, &setup, ret_error) < 0 || check_setup(image, &setup, ret_error) < 0)
		return -1;
	start = ((setup.setup_sects ? setup.setup_sects : 4) + 1ULL) * SECTOR;
	if (start >= image->size)
		return error_set(ret_error, ENOEXEC, "%s is truncated: there is no kernel in it",
				 image->name);
	size = image->size - start;
	/* init_size: what the kernel uses before it has read the memory map. */
	room = MAX(size, (uint64_t)setup.init_size);
	if (size <= ENTRY_64BIT || !mem_at(memory, setup.pref_address, room))
		return error_set(ret_error, ENOMEM,
				 "too little memory to load %s: it needs 0x%llx bytes at 0x%llx",
				 image->name, (unsigned long long)room,
				 (unsigned long long)setup.pref_address);
	if (image_load(image, start, size, memory, setup.pref_address, ret_error) < 0)
		return -1;
	*ret_kernel = (struct kernel){
		.entry = setup.pref_address + ENTRY_64BIT,
		.end = setup.pref_address + room,
		.initramfs_max = setup.initrd_addr_max,
		.cmdline_max = setup.cmdline_size,
		.setup = setup,
	};
	return 0;
}

int kernel_load(const struct image *image, const struct guest_memory *memory, bool may_move,
		struct kernel *ret_kernel, struct error **ret_error)
{
	static const char elf_magic[4] = "\177ELF";
	char magic[sizeof(elf_magic)];

	if (image_read(image, 0, magic, sizeof(magic), ret_error) < 0)
		return -1;
	if (memcmp(magic, elf_magic, sizeof(magic)) == 0)
		return elf_load(image, memory, may_move, ret_kernel, ret_error);
	return bzimage_load(image, memory, ret_kernel, ret_error);
}
