/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF vmlinux.  Headers are copied once and the copies checked; segments go
 * straight from the file into guest memory at their physical addresses.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/checked.h"
#include "vmm/x86_64/kernel.h"
#include "vmm/x86_64/layout.h"
#include "vmm/x86_64/relocate.h"

#define SEGMENTS_MAX 64
#define COMMAND_LINE_SIZE 2048 /* arch/x86/include/asm/setup.h */

static int check_header(const struct image *image, const Elf64_Ehdr *header,
			struct error **ret_error)
{
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    header->e_machine != EM_X86_64)
		return error_set(ret_error, ENOEXEC, "%s is not a kernel for x86-64", image->name);
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
		return error_set(ret_error, ENOEXEC, "%s is not an executable ELF file",
				 image->name);
	if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0 ||
	    header->e_phnum > SEGMENTS_MAX)
		return error_set(ret_error, ENOEXEC, "%s: bad ELF program headers (%u of %u bytes)",
				 image->name, header->e_phnum, header->e_phentsize);
	return 0;
}

static int check_segment(const struct image *image, const Elf64_Phdr *segment, gpa_t *ret_end,
			 struct error **ret_error)
{
	gpa_t end;

	if (segment->p_filesz > segment->p_memsz ||
	    checked_add(segment->p_paddr, segment->p_memsz, &end))
		return error_set(ret_error, ENOEXEC, "%s: an ELF segment has impossible sizes",
				 image->name);
	if (segment->p_paddr < KERNEL_START)
		return error_set(ret_error, ENOEXEC, "%s: an ELF segment is at 0x%llx, below 1 MiB",
				 image->name, (unsigned long long)segment->p_paddr);
	*ret_end = end;
	return 0;
}

static bool segments_overlap(const Elf64_Phdr *a, const Elf64_Phdr *b)
{
	return a->p_paddr < b->p_paddr + b->p_memsz && b->p_paddr < a->p_paddr + a->p_memsz;
}

static int load_segment(const struct image *image, const Elf64_Phdr *segment,
			const struct guest_memory *memory, struct error **ret_error)
{
	/* Whatever follows the file's part is zero already: RAM is fresh. */
	if (!mem_at(memory, segment->p_paddr, segment->p_memsz))
		return error_set(ret_error, ENOMEM,
				 "too little memory to load %s: it needs 0x%llx bytes at 0x%llx",
				 image->name, (unsigned long long)segment->p_memsz,
				 (unsigned long long)segment->p_paddr);
	return image_load(image, segment->p_offset, segment->p_filesz, memory, segment->p_paddr,
			  ret_error);
}

/* Where the ELF file ends, and what is behind it begins. */
static uint64_t end_of_file(const Elf64_Ehdr *header, const Elf64_Phdr *segments, size_t n)
{
	uint64_t end = header->e_shoff + (uint64_t)header->e_shnum * header->e_shentsize;

	for (size_t i = 0; i < n; i++)
		end = MAX(end, segments[i].p_offset + segments[i].p_filesz);
	return end;
}

int elf_load(const struct image *image, const struct guest_memory *memory, bool may_move,
	     struct kernel *ret_kernel, struct error **ret_error)
{
	Elf64_Phdr segments[SEGMENTS_MAX];
	Elf64_Ehdr header;
	bool entry_found = false, moved = false;
	gpa_t end = 0, last = 0;
	size_t n = 0;

	if (image_read(image, 0, &header, sizeof(header), ret_error) < 0 ||
	    check_header(image, &header, ret_error) < 0 ||
	    image_read(image, header.e_phoff, segments, header.e_phnum * sizeof(segments[0]),
		       ret_error) < 0)
		return -1;
	for (size_t i = 0; i < header.e_phnum; i++)
		if (segments[i].p_type == PT_LOAD && segments[i].p_memsz > 0)
			segments[n++] = segments[i];
	for (size_t i = 0; i < n; i++) {
		if (check_segment(image, &segments[i], &end, ret_error) < 0)
			return -1;
		for (size_t k = 0; k < i; k++)
			if (segments_overlap(&segments[i], &segments[k]))
				return error_set(ret_error, ENOEXEC, "%s: ELF segments overlap",
						 image->name);
		if (load_segment(image, &segments[i], memory, ret_error) < 0)
			return -1;
		last = MAX(last, end);
		entry_found |= header.e_entry >= segments[i].p_paddr && header.e_entry < end;
	}
	if (!entry_found)
		return error_set(ret_error, ENOEXEC,
				 "%s: its entry point 0x%llx is not in an ELF segment", image->name,
				 (unsigned long long)header.e_entry);
	if (may_move && relocate_kernel(image, end_of_file(&header, segments, n), segments, n, last,
					memory, &moved, ret_error) < 0)
		return -1;
	*ret_kernel = (struct kernel){
		.entry = header.e_entry,
		.end = last,
		.initramfs_max = 0x7fffffff, /* boot.rst: initrd_addr_max's default */
		.cmdline_max = COMMAND_LINE_SIZE - 1,
		/* It draws places for the rest of its memory then. */
		.setup.loadflags = moved ? KASLR_FLAG : 0,
	};
	return 0;
}
