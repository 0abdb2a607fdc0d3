/*
 * The guest's RAM: see ram.h.
 *
 * Under KVM private anonymous memory, not a memfd: only it gets huge pages on a stock
 * distribution (shmem_enabled is "never" there), and huge pages are what a boot
 * costs: one fault per 2 MiB on the host's side instead of 512.
 */
#include "vmm/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/checked.h"
#include "vmm/arch.h"

#define HUGE_PAGE (2ULL << 20)

/* Maps size bytes at an address that is a multiple of 2 MiB, so that guest
 * physical and host virtual huge pages coincide. */
static void *map_aligned(uint64_t size)
{
	uint64_t padded, lead, tail;
	uint8_t *at;

	if (checked_add(size, HUGE_PAGE, &padded)) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	at = mmap(NULL, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		  -1, 0);
	if (at == MAP_FAILED)
		return MAP_FAILED;
	lead = -(uintptr_t)at % HUGE_PAGE;
	tail = HUGE_PAGE - lead;
	if (lead > 0)
		(void)munmap(at, lead);
	if (tail > 0)
		(void)munmap(at + lead + size, tail);
	return at + lead;
}

int ram_map(uint64_t size, struct guest_memory *memory, struct ram *ret_ram,
	    struct error **ret_error)
{
	struct arch_range ranges[ARCH_RAM_RANGES_MAX];
	size_t n_ranges = arch_ram_ranges(size, ranges);
	uint64_t offset = 0;
	uint8_t *mapping = map_aligned(size);

	if (mapping == MAP_FAILED)
		return error_set_errno(ret_error, errno, "cannot map %llu MiB of guest memory",
				       (unsigned long long)size >> 20);
	/* All three are wishes: a kernel without the feature runs the guest too.
	 * A core file holds no guest memory; the name shows in /proc/PID/smaps. */
	(void)madvise(mapping, size, MADV_HUGEPAGE);
	(void)madvise(mapping, size, MADV_DONTDUMP);
	(void)prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, mapping, size, "guest-ram");
	*ret_ram = (struct ram){ .mapping = mapping, .size = size };
	for (size_t i = 0; i < n_ranges; i++) {
		struct mem_region region = {
			.base = ranges[i].base,
			.size = ranges[i].size,
			.hva = mapping + offset,
			.fd = -1,
		};

		if (mem_add_region(memory, &region, ret_error) < 0)
			return -1;
		offset += ranges[i].size;
	}
	return 0;
}

int ram_file_new(uint64_t size, int *ret_fd, struct error **ret_error)
{
	_cleanup_close_ int fd = memfd_create("guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return error_set_errno(ret_error, errno, "cannot make %llu MiB of guest memory",
				       (unsigned long long)size >> 20);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

void ram_unmap(struct ram *ram)
{
	if (ram->mapping)
		(void)munmap(ram->mapping, ram->size);
	ram->mapping = NULL;
}
