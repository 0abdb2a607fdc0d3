/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel images, hostile ones above all, and what is loaded beside them. */
#include <elf.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "tests/unit/test.h"
#include "vmm/arch.h"
#include "vmm/x86_64/kernel.h"
#include "vmm/x86_64/layout.h"

#define RAM_SIZE (32 * MIB)

static struct guest_memory memory;

static void make_memory(void)
{
	struct mem_region region = { .size = RAM_SIZE, .fd = -1 };
	struct error *error = NULL;

	memory = (struct guest_memory){ 0 };
	region.hva = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(region.hva != MAP_FAILED);
	CHECK_OK(mem_add_region(&memory, &region, &error), &error);
}

static struct image make_image(const void *bytes, size_t size)
{
	struct vm_file file = { .fd = memfd_create("image", MFD_CLOEXEC) };
	struct error *error = NULL;
	struct image image;

	CHECK(file.fd >= 0 && write_all(file.fd, bytes, size) == 0);
	CHECK_OK(image_open(&file, &image, &error), &error);
	CHECK_INT(image.size, size);
	return image;
}

/* ---- ELF ---- */

struct elf {
	Elf64_Ehdr header;
	Elf64_Phdr segments[2];
	uint8_t content[64];
};

static struct elf good_elf(void)
{
	struct elf elf = {
		.header = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB },
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_entry = 0x200010,
			.e_phoff = offsetof(struct elf, segments),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 2,
		},
		.segments = {
			{ .p_type = PT_LOAD, .p_offset = offsetof(struct elf, content),
			  .p_paddr = 0x200000, .p_filesz = 32, .p_memsz = 0x1000 },
			{ .p_type = PT_LOAD, .p_offset = offsetof(struct elf, content) + 32,
			  .p_paddr = 0x400000, .p_filesz = 32, .p_memsz = 32 },
		},
	};

	for (size_t i = 0; i < sizeof(elf.content); i++)
		elf.content[i] = (uint8_t)(i + 1);
	return elf;
}

static void test_elf(void)
{
	struct elf elf = good_elf();
	struct image image = make_image(&elf, sizeof(elf));
	struct error *error = NULL;
	struct kernel kernel;

	make_memory();
	CHECK_OK(kernel_load(&image, &memory, true, &kernel, &error), &error);
	CHECK_INT(kernel.entry, 0x200010);
	CHECK_INT(kernel.end, 0x400020);
	CHECK(memcmp(mem_at(&memory, 0x200000, 32), elf.content, 32) == 0);
	CHECK_INT(*(uint8_t *)mem_at(&memory, 0x200020, 1), 0);
	CHECK(memcmp(mem_at(&memory, 0x400000, 32), elf.content + 32, 32) == 0);
	image_close(&image);
}

static void refuse(const void *bytes, size_t size, const char *part)
{
	struct image image = make_image(bytes, size);
	struct error *error = NULL;
	struct kernel kernel;

	make_memory();
	CHECK_ERROR(kernel_load(&image, &memory, true, &kernel, &error), &error, part);
	image_close(&image);
}

#define REFUSE_ELF(change, part)                                                                   \
	do {                                                                                       \
		struct elf elf = good_elf();                                                       \
		change;                                                                            \
		refuse(&elf, sizeof(elf), part);                                                   \
	} while (0)

static void test_bad_elf(void)
{
	REFUSE_ELF(elf.header.e_ident[EI_CLASS] = ELFCLASS32, "not a kernel for x86-64");
	REFUSE_ELF(elf.header.e_ident[EI_DATA] = ELFDATA2MSB, "not a kernel for x86-64");
	REFUSE_ELF(elf.header.e_machine = EM_AARCH64, "not a kernel for x86-64");
	REFUSE_ELF(elf.header.e_type = ET_REL, "not an executable");
	REFUSE_ELF(elf.header.e_phnum = 0, "bad ELF program headers");
	REFUSE_ELF(elf.header.e_phnum = 65, "bad ELF program headers");
	REFUSE_ELF(elf.header.e_phentsize = 55, "bad ELF program headers");
	REFUSE_ELF(elf.header.e_phoff = sizeof(elf) - 8, "truncated");
	REFUSE_ELF(elf.header.e_phoff = UINT64_MAX - 8, "truncated");
	REFUSE_ELF(elf.header.e_entry = 0x300000, "is not in an ELF segment");
	REFUSE_ELF(elf.header.e_entry = 0x201000, "is not in an ELF segment");
	REFUSE_ELF(elf.segments[1].p_type = elf.segments[0].p_type = PT_NOTE,
		   "is not in an ELF segment");
	REFUSE_ELF(elf.segments[0].p_filesz = 0x1001, "impossible sizes");
	REFUSE_ELF(elf.segments[0].p_memsz = UINT64_MAX, "impossible sizes");
	REFUSE_ELF(elf.segments[1].p_paddr = UINT64_MAX - 16, "impossible sizes");
	REFUSE_ELF(elf.segments[0].p_paddr = 0, "below 1 MiB");
	REFUSE_ELF(elf.segments[0].p_paddr = KERNEL_START - 1, "below 1 MiB");
	REFUSE_ELF(elf.segments[1].p_paddr = 0x200fff, "segments overlap");
	REFUSE_ELF(elf.segments[1].p_paddr = 0x1ffff0, "segments overlap");
	REFUSE_ELF(elf.segments[1].p_paddr = RAM_SIZE - 31, "too little memory");
	REFUSE_ELF(elf.segments[1].p_paddr = 8 * GIB, "too little memory");
	REFUSE_ELF(elf.segments[1].p_memsz = RAM_SIZE, "too little memory");
	REFUSE_ELF(elf.segments[1].p_offset = sizeof(elf) - 31, "truncated");
	REFUSE_ELF(elf.segments[1].p_offset = UINT64_MAX - 31, "truncated");
}

/* Cut off anywhere, it is refused and not read past its end. */
static void test_truncated(void)
{
	const struct elf elf = good_elf();

	for (size_t size = 0; size < sizeof(elf); size += 7)
		refuse(&elf, size, size < 4 ? "truncated" : "");
	refuse("\177ELF", 4, "truncated");
}

/* ---- KASLR ---- */

/* The lower half of the place's address, as the kernel is linked. */
#define PLACE(gpa) (0x80000000U + (gpa))

struct moving {
	struct elf elf;
	uint32_t list[8];
};

/* Places of 64 bits at 0x200000 and 0x400008, of 32 at 0x200018, and one from which is
 * subtracted at 0x200010. */
static struct moving good_moving(void)
{
	return (struct moving){
		.elf = good_elf(),
		.list = { 0, PLACE(0x200000), PLACE(0x400008), 0, PLACE(0x200010), 0,
			  PLACE(0x200018), PLACE(0x200ffc) },
	};
}

static uint64_t value_at(gpa_t gpa, size_t size)
{
	uint64_t value = 0;

	(void)memcpy(&value, mem_at(&memory, gpa, size), size);
	return value;
}

/* By how much it was moved. */
static uint64_t load_moving(void)
{
	const struct moving moving = good_moving();
	const uint8_t *first = moving.elf.content, *second = first + 32;
	struct image image = make_image(&moving, sizeof(moving));
	struct error *error = NULL;
	uint64_t was[4] = { 0 }, offset;
	struct kernel kernel;

	make_memory();
	CHECK_OK(kernel_load(&image, &memory, true, &kernel, &error), &error);
	image_close(&image);
	CHECK_INT(kernel.setup.loadflags, KASLR_FLAG);
	CHECK_INT(kernel.entry, 0x200010);
	(void)memcpy(&was[0], first, 8);
	(void)memcpy(&was[1], second + 8, 8);
	(void)memcpy(&was[2], first + 0x10, 4);
	(void)memcpy(&was[3], first + 0x18, 4);
	offset = value_at(0x200000, 8) - was[0];
	CHECK(offset % (2 * MIB) == 0 && offset + kernel.end <= GIB);
	CHECK_INT(value_at(0x400008, 8), was[1] + offset);
	CHECK_INT(value_at(0x200010, 4), (uint32_t)(was[2] - offset));
	CHECK_INT(value_at(0x200018, 4), (uint32_t)(was[3] + offset));
	CHECK_INT(value_at(0x200ffc, 4), offset);
	/* And nothing else. */
	CHECK(memcmp(mem_at(&memory, 0x200008, 8), first + 8, 8) == 0);
	CHECK(memcmp(mem_at(&memory, 0x20001c, 4), first + 0x1c, 4) == 0);
	CHECK(memcmp(mem_at(&memory, 0x400010, 16), second + 16, 16) == 0);
	return offset;
}

static void test_moved(void)
{
	const uint64_t first = load_moving();
	unsigned tries = 0;

	/* One of 510 places. */
	while (load_moving() == first)
		CHECK(++tries < 20);
}

/* Another thing behind the file changes nothing. */
#define STAYS(change, cut)                                                                         \
	do {                                                                                       \
		struct moving moving = good_moving();                                              \
		struct error *error = NULL;                                                        \
		struct image image;                                                                \
		struct kernel kernel;                                                              \
		bool may_move = true;                                                              \
		change;                                                                            \
		image = make_image(&moving, sizeof(moving) - (cut));                               \
		make_memory();                                                                     \
		CHECK_OK(kernel_load(&image, &memory, may_move, &kernel, &error), &error);         \
		CHECK_INT(kernel.setup.loadflags, 0);                                              \
		CHECK(memcmp(mem_at(&memory, 0x200000, 32), moving.elf.content, 32) == 0);         \
		CHECK(memcmp(mem_at(&memory, 0x400000, 32), moving.elf.content + 32, 32) == 0);    \
		image_close(&image);                                                               \
	} while (0)

static void test_no_list(void)
{
	STAYS((void)0, sizeof(moving.list));
	STAYS((void)0, 2);
	STAYS(may_move = false, 0);
	STAYS((void)0, 8);			    /* the last part is empty */
	STAYS(moving.list[0] = PLACE(0x200000), 0); /* no zero in front */
	STAYS(moving.list[5] = PLACE(0x200014), 0); /* a part less */
	STAYS(moving.list[4] = 0, 0);		    /* a part more */
	STAYS(moving.list[1] = PLACE(0x200ff9), 0); /* ends behind its segment */
	STAYS(moving.list[1] = PLACE(0x1ffffc), 0);
	STAYS(moving.list[7] = PLACE(0x200ffd), 0);
	STAYS(moving.list[2] = 0x7fffffff, 0); /* not a kernel's address */
	STAYS(moving.list[6] = 1, 0);
}

/* ---- bzImage ---- */

#define BZ_SECTORS 4
#define BZ_KERNEL ((BZ_SECTORS + 1) * 512)

struct bzimage {
	uint8_t boot_sector[0x1f1];
	struct setup_header setup;
	uint8_t real_mode[BZ_KERNEL - 0x1f1 - sizeof(struct setup_header)];
	uint8_t kernel[4096];
} __attribute__((packed));

static struct bzimage good_bzimage(void)
{
	struct bzimage bz = { .setup = {
				  .setup_sects = BZ_SECTORS,
				  .boot_flag = 0xaa55,
				  .jump = 0xeb | 0x6a << 8,
				  .header = 0x53726448,
				  .version = 0x020f,
				  .xloadflags = XLF_KERNEL_64,
				  .cmdline_size = 2047,
				  .initrd_addr_max = 0x7fffffff,
				  .pref_address = 0x1000000,
				  .init_size = 0x100000,
			      } };

	(void)memset(bz.kernel, 0xab, sizeof(bz.kernel));
	return bz;
}

static void test_bzimage(void)
{
	struct bzimage bz = good_bzimage();
	struct image image = make_image(&bz, sizeof(bz));
	struct error *error = NULL;
	struct kernel kernel;

	make_memory();
	CHECK_OK(kernel_load(&image, &memory, true, &kernel, &error), &error);
	CHECK_INT(kernel.entry, 0x1000200);
	CHECK_INT(kernel.end, 0x1100000);
	CHECK_INT(kernel.cmdline_max, 2047);
	CHECK_INT(*(uint8_t *)mem_at(&memory, 0x1000000, 1), 0xab);
	CHECK_INT(*(uint8_t *)mem_at(&memory, 0x1000fff, 1), 0xab);
	CHECK_INT(*(uint8_t *)mem_at(&memory, 0x1001000, 1), 0);
	image_close(&image);
}

#define REFUSE_BZIMAGE(change, part)                                                               \
	do {                                                                                       \
		struct bzimage bz = good_bzimage();                                                \
		change;                                                                            \
		refuse(&bz, sizeof(bz), part);                                                     \
	} while (0)

static void test_bad_bzimage(void)
{
	const struct bzimage good = good_bzimage();

	REFUSE_BZIMAGE(bz.setup.header = 0, "neither an ELF vmlinux nor a bzImage");
	REFUSE_BZIMAGE(bz.setup.version = 0x020b, "no 64-bit entry");
	REFUSE_BZIMAGE(bz.setup.xloadflags = 0, "no 64-bit entry");
	REFUSE_BZIMAGE(bz.setup.pref_address = 0x90000, "cannot be loaded at 0x90000");
	REFUSE_BZIMAGE(bz.setup.pref_address = UINT64_MAX, "cannot be loaded at");
	REFUSE_BZIMAGE(bz.setup.pref_address = RAM_SIZE, "too little memory");
	REFUSE_BZIMAGE(bz.setup.init_size = UINT32_MAX, "too little memory");
	REFUSE_BZIMAGE(bz.setup.setup_sects = 255, "truncated");
	refuse(&good, 0x200, "truncated");
	refuse(&good, BZ_KERNEL, "there is no kernel in it");
}

/* ---- all together ---- */

static int load(const struct image *kernel, const struct image *initramfs, size_t n,
		const char *cmdline, struct error **error)
{
	const struct arch_boot boot = {
		.kernel = kernel,
		.initramfs = initramfs,
		.n_initramfs = n,
		.cmdline = cmdline,
		.vcpus = 2,
		.n_slots = 3,
	};
	gpa_t entry = 0;

	make_memory();
	return arch_load(&boot, &memory, &entry, error);
}

static void test_initramfs(void)
{
	struct elf elf = good_elf();
	struct image kernel = make_image(&elf, sizeof(elf));
	struct image files[] = { make_image("abcde", 5), make_image("", 0), make_image("fgh", 3) };
	const struct boot_params *params;
	struct error *error = NULL;
	const char *at;

	CHECK_OK(load(&kernel, files, 3, "console=hvc0", &error), &error);
	params = mem_at(&memory, BOOT_PARAMS_START, sizeof(*params));
	CHECK_INT(params->hdr.ramdisk_size, 11); /* 5, 3 of padding, 3 */
	CHECK(params->hdr.ramdisk_image + 11 <= RAM_SIZE);
	CHECK_INT(params->hdr.ramdisk_image % 4096, 0);
	at = mem_at(&memory, params->hdr.ramdisk_image, 11);
	CHECK(memcmp(at, "abcde\0\0\0fgh", 11) == 0);
	CHECK_INT(params->hdr.boot_flag, 0xaa55);
	CHECK_INT(params->acpi_rsdp_addr, ACPI_START);
	CHECK_INT(params->e820_entries, 3);
	/* The reset vector's code writes the reset register. */
	CHECK(memcmp(mem_at(&memory, RESET_VECTOR, 6), "\xba\x02\x06\xb0\x01\xee", 6) == 0);
	CHECK_STRING((char *)mem_at(&memory, params->hdr.cmd_line_ptr, 13), "console=hvc0");
	for (size_t i = 0; i < 3; i++)
		image_close(&files[i]);
	image_close(&kernel);
}

static void test_too_large(void)
{
	struct elf elf = good_elf();
	struct image kernel = make_image(&elf, sizeof(elf));
	struct image huge = make_image("x", 1);
	_cleanup_free_ char *cmdline = xcalloc(1, 2049);
	struct error *error = NULL;

	/* All that is above the kernel, and then a byte more. */
	CHECK(ftruncate(huge.fd, (off_t)(RAM_SIZE - 0x402000)) == 0);
	huge.size = RAM_SIZE - 0x402000;
	CHECK_OK(load(&kernel, &huge, 1, "", &error), &error);
	CHECK(ftruncate(huge.fd, RAM_SIZE) == 0);
	huge.size = RAM_SIZE - 0x401000;
	CHECK_ERROR(load(&kernel, &huge, 1, "", &error), &error,
		    "too little memory: kernel and initramfs");
	huge.size = UINT64_MAX - 2;
	CHECK_ERROR(load(&kernel, (struct image[]){ huge, huge }, 2, "", &error), &error,
		    "too large");
	huge.size = 2 * RAM_SIZE;
	CHECK_ERROR(load(&kernel, &huge, 1, "", &error), &error, "too little memory");
	(void)memset(cmdline, 'a', 2047);
	CHECK_OK(load(&kernel, NULL, 0, cmdline, &error), &error);
	(void)memset(cmdline, 'a', 2048);
	CHECK_ERROR(load(&kernel, NULL, 0, cmdline, &error), &error,
		    "the command line has 2048 bytes, this kernel takes 2047");
	image_close(&huge);
	image_close(&kernel);
}

static void test_files(void)
{
	struct vm_file missing = { .path = (char *)"/nonexistent/kernel", .fd = -1 };
	struct vm_file directory = { .path = (char *)"/", .fd = -1 };
	struct vm_file device = { .path = (char *)"/dev/null", .fd = -1 };
	struct vm_file closed = { .fd = 1000 };
	struct error *error = NULL;
	struct image image;

	CHECK_ERROR(image_open(&missing, &image, &error), &error,
		    "cannot open /nonexistent/kernel: No such file");
	CHECK_ERROR(image_open(&directory, &image, &error), &error, "/ is not a regular file");
	CHECK_ERROR(image_open(&device, &image, &error), &error, "not a regular file");
	CHECK_ERROR(image_open(&closed, &image, &error), &error, "descriptor 1000");
}

static const struct test_case cases[] = {
	{ "ELF", test_elf },
	{ "bad ELF", test_bad_elf },
	{ "truncated", test_truncated },
	{ "moved", test_moved },
	{ "no list", test_no_list },
	{ "bzImage", test_bzimage },
	{ "bad bzImage", test_bad_bzimage },
	{ "initramfs and boot_params", test_initramfs },
	{ "too large", test_too_large },
	{ "files", test_files },
};

TEST_MAIN(cases)
