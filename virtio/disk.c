/* SPDX-License-Identifier: Apache-2.0 */
/* The storage behind a block device: see disk.h. */
#include "virtio/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "virtio/queue.h"

#define SECTOR_SIZE 512

static int inspect(struct disk *disk, struct error **ret_error)
{
	struct stat status;
	int flags = fcntl(disk->fd, F_GETFL);
	int block_size;

	if (flags < 0 || fstat(disk->fd, &status) < 0)
		return error_set_errno(ret_error, errno, "disk descriptor %d", disk->fd);
	if ((flags & O_ACCMODE) == O_WRONLY || (flags & O_PATH) ||
	    (!disk->readonly && (flags & O_ACCMODE) != O_RDWR))
		return error_set(ret_error, EACCES, "disk descriptor %d is not open for %s",
				 disk->fd, disk->readonly ? "reading" : "reading and writing");
	if (S_ISREG(status.st_mode)) {
		disk->size = (uint64_t)status.st_size;
		disk->block_size = SECTOR_SIZE;
	} else if (S_ISBLK(status.st_mode)) {
		disk->is_block_device = true;
		if (ioctl(disk->fd, BLKGETSIZE64, &disk->size) < 0 ||
		    ioctl(disk->fd, BLKSSZGET, &block_size) < 0)
			return error_set_errno(ret_error, errno, "disk descriptor %d", disk->fd);
		disk->block_size = (uint32_t)block_size;
	} else {
		return error_set(ret_error, EINVAL,
				 "disk descriptor %d is neither a file nor a block device",
				 disk->fd);
	}
	/* Rounding would hide the tail of the image from the guest. */
	if (disk->size % SECTOR_SIZE != 0)
		return error_set(ret_error, EINVAL,
				 "disk size of %llu bytes is not a multiple of 512: pad the image",
				 (unsigned long long)disk->size);
	return 0;
}

int disk_init(struct disk *disk, int fd, bool readonly, struct error **ret_error)
{
	*disk = (struct disk){ .fd = fd, .readonly = readonly };
	if (inspect(disk, ret_error) < 0) {
		disk_done(disk);
		return -1;
	}
	return 0;
}

void disk_done(struct disk *disk)
{
	close_fdp(&disk->fd);
	disk->fd = -1;
}

/* Accounts for a count that preadv or pwritev returned: 1 go on, 0 all done,
 * -1 errno. */
static int advance(ssize_t n, uint64_t *offset, struct iovec **iov, unsigned *n_iov)
{
	if (n < 0)
		return errno == EINTR ? 1 : -1;
	if (n == 0) {
		errno = EIO; /* the file has become shorter than it was */
		return -1;
	}
	*offset += (uint64_t)n;
	iov_advance(iov, n_iov, (size_t)n);
	return *n_iov > 0;
}

int disk_read(const struct disk *disk, uint64_t offset, struct iovec *iov, unsigned n_iov)
{
	int r = n_iov > 0;

	while (r > 0)
		r = advance(preadv(disk->fd, iov, (int)n_iov, (off_t)offset), &offset, &iov,
			    &n_iov);
	return r;
}

int disk_write(const struct disk *disk, uint64_t offset, struct iovec *iov, unsigned n_iov,
	       bool through)
{
	int r = n_iov > 0;

	while (r > 0)
		r = advance(
		    pwritev2(disk->fd, iov, (int)n_iov, (off_t)offset, through ? RWF_DSYNC : 0),
		    &offset, &iov, &n_iov);
	return r;
}

int disk_flush(const struct disk *disk)
{
	int r;

	do {
		r = fdatasync(disk->fd);
	} while (r < 0 && errno == EINTR);
	return r;
}

static int allocate(const struct disk *disk, int mode, uint64_t offset, uint64_t size)
{
	int r;

	do {
		r = fallocate(disk->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size);
	} while (r < 0 && errno == EINTR);
	return r;
}

int disk_discard(const struct disk *disk, uint64_t offset, uint64_t size)
{
	uint64_t range[2] = { offset, size };
	int r = disk->is_block_device ? ioctl(disk->fd, BLKDISCARD, range)
				      : allocate(disk, FALLOC_FL_PUNCH_HOLE, offset, size);

	/* A hint; storage that cannot follow it has done no harm. */
	return r < 0 && errno == EOPNOTSUPP ? 0 : r;
}

static int write_zeroes(const struct disk *disk, uint64_t offset, uint64_t size)
{
	static const char zeroes[4096];
	struct iovec iov[64];

	while (size > 0) {
		uint64_t length = 0;
		unsigned n = 0;

		for (; n < ARRAY_SIZE(iov) && length < size; n++) {
			iov[n].iov_base = (char *)zeroes;
			iov[n].iov_len = MIN(size - length, (uint64_t)sizeof(zeroes));
			length += iov[n].iov_len;
		}
		if (disk_write(disk, offset, iov, n, false) < 0)
			return -1;
		offset += length;
		size -= length;
	}
	return 0;
}

int disk_zero(const struct disk *disk, uint64_t offset, uint64_t size, bool unmap)
{
	uint64_t range[2] = { offset, size };

	if (unmap && allocate(disk, FALLOC_FL_PUNCH_HOLE, offset, size) == 0)
		return 0;
	if (disk->is_block_device)
		return ioctl(disk->fd, BLKZEROOUT, range);
	if (allocate(disk, FALLOC_FL_ZERO_RANGE, offset, size) == 0)
		return 0;
	/* tmpfs, for one, has no ZERO_RANGE. */
	return errno == EOPNOTSUPP ? write_zeroes(disk, offset, size) : -1;
}
