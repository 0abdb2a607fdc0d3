/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arch_load(): kernel, initramfs, command line, ACPI tables, boot_params, the
 * GDT and page tables of the first instructions.
 */
#include "vmm/x86_64/boot.h"

#include <errno.h>
#include <string.h>

#include "base/checked.h"
#include "base/random.h"
#include "vmm/arch.h"
#include "vmm/x86_64/acpi.h"
#include "vmm/x86_64/kernel.h"
#include "vmm/x86_64/layout.h"

#define PAGE 0x1000ULL
#define E820_RAM 1
#define E820_ACPI 3
#define LOADER_UNDEFINED 0xff
#define BOOT_FLAG 0xaa55
#define SEED_SIZE 32
#define GENERATION_SIZE 16

static int put(const struct guest_memory *memory, gpa_t gpa, const void *bytes, size_t size,
	       struct error **ret_error)
{
	void *at = mem_at(memory, gpa, size);

	if (!at)
		return error_set(ret_error, ENOMEM, "no guest memory at 0x%llx",
				 (unsigned long long)gpa);
	(void)memcpy(at, bytes, size);
	return 0;
}

size_t e820_fill(const struct guest_memory *memory,
		 struct boot_e820_entry ret_entries[E820_ENTRIES_USED])
{
	size_t n = 0;

	ret_entries[n++] = (struct boot_e820_entry){ 0, LOW_RAM_END, E820_RAM };
	ret_entries[n++] = (struct boot_e820_entry){ ACPI_START, ACPI_END - ACPI_START, E820_ACPI };
	for (size_t i = 0; i < memory->n_regions; i++) {
		gpa_t start = MAX(memory->regions[i].base, KERNEL_START);
		gpa_t end = memory->regions[i].base + memory->regions[i].size;

		ret_entries[n++] = (struct boot_e820_entry){ start, end - start, E820_RAM };
	}
	return n;
}

/* The archives one behind the other, each starting at a multiple of 4: the
 * kernel's unpacker skips zero bytes between them, but wants them aligned. */
static int initramfs_size(const struct arch_boot *boot, uint64_t *ret_size,
			  struct error **ret_error)
{
	uint64_t total = 0;

	for (size_t i = 0; i < boot->n_initramfs; i++)
		if (checked_add(align_up(total, 4), boot->initramfs[i].size, &total) ||
		    total > UINT32_MAX)
			return error_set(ret_error, EFBIG, "the initramfs files are too large");
	*ret_size = total;
	return 0;
}

/* As high as possible, so that the kernel's own early memory is left alone. */
static int load_initramfs(const struct arch_boot *boot, const struct kernel *kernel,
			  const struct guest_memory *memory, struct boot_params *params,
			  struct error **ret_error)
{
	gpa_t limit = MIN(memory->regions[0].size, kernel->initramfs_max + 1);
	uint64_t size = 0, offset = 0;
	gpa_t start;

	if (initramfs_size(boot, &size, ret_error) < 0)
		return -1;
	if (size == 0)
		return 0;
	if (limit < kernel->end || limit - kernel->end < size + PAGE)
		return error_set(ret_error, ENOMEM,
				 "too little memory: kernel and initramfs (%llu MiB) do not fit",
				 (unsigned long long)(kernel->end + size) >> 20);
	start = (limit - size) & -PAGE;
	for (size_t i = 0; i < boot->n_initramfs; i++) {
		offset = align_up(offset, 4);
		if (image_load(&boot->initramfs[i], 0, boot->initramfs[i].size, memory,
			       start + offset, ret_error) < 0)
			return -1;
		offset += boot->initramfs[i].size;
	}
	params->hdr.ramdisk_image = (uint32_t)start;
	params->hdr.ramdisk_size = (uint32_t)size;
	return 0;
}

static int load_cmdline(const char *cmdline, const struct kernel *kernel,
			const struct guest_memory *memory, struct boot_params *params,
			struct error **ret_error)
{
	size_t length = strlen(cmdline);
	uint64_t most = MIN(kernel->cmdline_max, CMDLINE_ROOM - 1);

	if (length > most)
		return error_set(ret_error, E2BIG,
				 "the command line has %zu bytes, this kernel takes %llu", length,
				 (unsigned long long)most);
	params->hdr.cmd_line_ptr = CMDLINE_START;
	params->hdr.cmdline_size = (uint32_t)kernel->cmdline_max;
	return put(memory, CMDLINE_START, cmdline, length + 1, ret_error);
}

/* boot.rst "setup_data": randomness for the kernel's generator, which is ready
 * then before the first process runs. */
static int load_seed(const struct guest_memory *memory, struct boot_params *params,
		     struct error **ret_error)
{
	union {
		struct setup_data setup;
		uint8_t room[sizeof(struct setup_data) + SEED_SIZE];
	} data = { .setup = { .type = SETUP_RNG_SEED, .len = SEED_SIZE } };
	int result;

	if (random_bytes(data.setup.data, SEED_SIZE, ret_error) < 0)
		return -1;
	params->hdr.setup_data = SETUP_DATA_START;
	result = put(memory, SETUP_DATA_START, &data, sizeof(data), ret_error);
	explicit_bzero(&data, sizeof(data));
	return result;
}

int arch_renew(const struct guest_memory *memory, struct error **ret_error)
{
	uint8_t generation[GENERATION_SIZE];

	if (random_bytes(generation, sizeof(generation), ret_error) < 0)
		return -1;
	return put(memory, VM_GENERATION, generation, sizeof(generation), ret_error);
}

/* All the BIOS there is. A Linux that finds hardware-reduced ACPI reboots through
 * EFI and, where there is none, through the BIOS's entry in real mode; it would
 * execute zeros there for ever. */
static int load_reset_vector(const struct guest_memory *memory, struct error **ret_error)
{
	static const uint8_t code[] = {
		0xba,
		PORT_RESET & 0xff,
		PORT_RESET >> 8, /* mov $PORT_RESET, %dx */
		0xb0,
		RESET_VALUE, /* mov $RESET_VALUE, %al */
		0xee,	     /* out %al, %dx */
		0xf4,
		0xeb,
		0xfd, /* 1: hlt; jmp 1b */
	};

	return put(memory, RESET_VECTOR, code, sizeof(code), ret_error);
}

/* Flat segments at the boot protocol's selectors; the registers hold the same
 * (vcpu.c), so this is read only when the guest reloads one. */
static int load_gdt(const struct guest_memory *memory, struct error **ret_error)
{
	static const uint64_t gdt[] = {
		[BOOT_CS / 8] = 0x00af9b000000ffff,
		[BOOT_DS / 8] = 0x00cf93000000ffff,
	};

	return put(memory, GDT_START, gdt, sizeof(gdt), ret_error);
}

/* The first 4 GiB mapped one to one with 2 MiB pages. */
static int load_page_tables(const struct guest_memory *memory, struct error **ret_error)
{
	const uint64_t table = 0x3, large = 0x83; /* present, writable; page size */
	const size_t entries = PAGE / sizeof(uint64_t);
	uint64_t *pages = mem_at(memory, PAGE_TABLES_START, (2 + PAGE_TABLES_GIB) * PAGE);
	uint64_t *directory;

	if (!pages)
		return error_set(ret_error, ENOMEM, "no guest memory for page tables");
	directory = pages + 2 * entries;
	pages[0] = (PAGE_TABLES_START + PAGE) | table;
	for (size_t i = 0; i < PAGE_TABLES_GIB; i++)
		pages[entries + i] = (PAGE_TABLES_START + (2 + i) * PAGE) | table;
	for (size_t i = 0; i < PAGE_TABLES_GIB * entries; i++)
		directory[i] = i * 2 * MIB | large;
	return 0;
}

int boot_load_tables(const struct guest_memory *memory, struct error **ret_error)
{
	return load_gdt(memory, ret_error) < 0 ? -1 : load_page_tables(memory, ret_error);
}

static bool has_word(const char *text, const char *word)
{
	const size_t length = strlen(word);

	while (*text) {
		const size_t n = strcspn(text, " ");

		if (n == length && memcmp(text, word, n) == 0)
			return true;
		text += n + strspn(text + n, " ");
	}
	return false;
}

int arch_load(const struct arch_boot *boot, const struct guest_memory *memory, gpa_t *ret_entry,
	      struct error **ret_error)
{
	const struct acpi_machine machine = { .vcpus = boot->vcpus,
					      .max_vcpus = boot->max_vcpus,
					      .n_devices = boot->n_slots };
	struct boot_params params = { 0 };
	struct kernel kernel;
	gpa_t rsdp = 0;

	if (kernel_load(boot->kernel, memory, !has_word(boot->cmdline, "nokaslr"), &kernel,
			ret_error) < 0)
		return -1;
	params.hdr = kernel.setup;
	params.hdr.boot_flag = BOOT_FLAG;
	params.hdr.type_of_loader = LOADER_UNDEFINED;
	params.hdr.loadflags |= LOADED_HIGH;
	params.e820_entries = (uint8_t)e820_fill(memory, params.e820_table);
	if (load_initramfs(boot, &kernel, memory, &params, ret_error) < 0 ||
	    load_cmdline(boot->cmdline, &kernel, memory, &params, ret_error) < 0 ||
	    load_seed(memory, &params, ret_error) < 0 || arch_renew(memory, ret_error) < 0 ||
	    acpi_load(&machine, memory, &rsdp, ret_error) < 0 ||
	    load_reset_vector(memory, ret_error) < 0 || boot_load_tables(memory, ret_error) < 0)
		return -1;
	params.acpi_rsdp_addr = rsdp;
	if (put(memory, BOOT_PARAMS_START, &params, sizeof(params), ret_error) < 0)
		return -1;
	*ret_entry = kernel.entry;
	return 0;
}
