/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory from a front-end: see vhost-ram.h. */
#include "virtio/vhost-ram.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"

#define PAGE_SIZE_MIN 4096ULL
#define PAGE_SIZE_MAX (1ULL << 30) /* the largest huge page */

static int refuse(const struct vhost_region *region, const char *why, struct error **ret_error)
{
	return error_set(ret_error, EINVAL, "memory region 0x%llx+0x%llx (file offset 0x%llx) %s",
			 (unsigned long long)region->gpa, (unsigned long long)region->size,
			 (unsigned long long)region->file_offset, why);
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b ? b - a < a_size : a - b < b_size;
}

/* Beside what mem_add_region() checks. */
static int check_region(const struct vhost_ram *ram, const struct vhost_region *region,
			struct error **ret_error)
{
	uint64_t end;

	if (region->size == 0)
		return refuse(region, "is empty", ret_error);
	/* So that what is aligned in the guest is aligned here. */
	if ((region->gpa | region->user_address | region->file_offset) % PAGE_SIZE_MIN != 0)
		return refuse(region, "does not begin with a page", ret_error);
	if (checked_add(region->user_address, region->size, &end))
		return refuse(region, "wraps in the front-end", ret_error);
	for (size_t i = 0; i < ram->n_mappings; i++) {
		const struct vhost_region *other = &ram->mappings[i].region;

		if (overlap(region->user_address, region->size, other->user_address, other->size))
			return refuse(region, "overlaps another in the front-end", ret_error);
	}
	return 0;
}

/* The size of the file's pages, in which it is mapped; 0 when it may shrink or is
 * too short. */
static uint64_t check_file(int fd, const struct vhost_region *region, struct error **ret_error)
{
	uint64_t end, page_size;
	struct stat status;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (!(seals & F_SEAL_SHRINK) && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)) {
		(void)refuse(region,
			     "is in a file that may shrink: use a sealable memfd "
			     "(QEMU: -object memory-backend-memfd,share=on)",
			     ret_error);
		return 0;
	}
	if (fstat(fd, &status) < 0) {
		(void)error_set_errno(ret_error, errno, "guest memory");
		return 0;
	}
	if (checked_add(region->file_offset, region->size, &end) ||
	    end > (uint64_t)status.st_size) {
		(void)refuse(region, "is beyond the end of its file", ret_error);
		return 0;
	}
	page_size = (uint64_t)status.st_blksize;
	if (page_size < PAGE_SIZE_MIN || page_size > PAGE_SIZE_MAX ||
	    (page_size & (page_size - 1)) != 0) {
		(void)refuse(region, "is in a file without a page size", ret_error);
		return 0;
	}
	return page_size;
}

static int map_region(struct vhost_ram *ram, const struct vhost_region *region, int fd,
		      struct error **ret_error)
{
	struct vhost_mapping *mapping = &ram->mappings[ram->n_mappings];
	struct mem_region added = { .base = region->gpa, .size = region->size, .fd = -1 };
	uint64_t page_size, offset, size;
	void *at;

	if (check_region(ram, region, ret_error) < 0)
		return -1;
	page_size = check_file(fd, region, ret_error);
	if (page_size == 0)
		return -1;
	/* Huge pages are mapped and unmapped whole; what is beyond the region is
	 * not touched. */
	offset = region->file_offset & ~(page_size - 1);
	size = (region->file_offset - offset + region->size + page_size - 1) & ~(page_size - 1);
	at =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, (off_t)offset);
	if (at == MAP_FAILED)
		return error_set_errno(ret_error, errno, "cannot map guest memory 0x%llx+0x%llx",
				       (unsigned long long)region->gpa,
				       (unsigned long long)region->size);
	*mapping = (struct vhost_mapping){ .region = *region, .at = at, .size = size };
	ram->n_mappings++;
	added.hva = (char *)at + (region->file_offset - offset);
	return mem_add_region(&ram->memory, &added, ret_error);
}

int vhost_ram_map(const struct vhost_region *regions, const int *fds, size_t n,
		  struct vhost_ram *ret_ram, struct error **ret_error)
{
	struct vhost_ram ram = { 0 };

	for (size_t i = 0; i < n; i++) {
		if (map_region(&ram, &regions[i], fds[i], ret_error) < 0) {
			vhost_ram_unmap(&ram);
			return -1;
		}
	}
	*ret_ram = ram;
	return 0;
}

void vhost_ram_unmap(struct vhost_ram *ram)
{
	for (size_t i = 0; i < ram->n_mappings; i++)
		(void)munmap(ram->mappings[i].at, ram->mappings[i].size);
	memset(ram, 0, sizeof(*ram));
}

bool vhost_ram_gpa(const struct vhost_ram *ram, uint64_t user_address, gpa_t *ret_gpa)
{
	for (size_t i = 0; i < ram->n_mappings; i++) {
		const struct vhost_region *region = &ram->mappings[i].region;
		uint64_t offset = user_address - region->user_address;

		if (user_address >= region->user_address && offset < region->size) {
			*ret_gpa = region->gpa + offset;
			return true;
		}
	}
	return false;
}
