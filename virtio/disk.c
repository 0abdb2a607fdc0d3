/* SPDX-License-Identifier: Apache-2.0 */
/* The storage behind a block device: see disk.h. */
#include "virtio/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
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
	for (size_t i = 1; i < disk->n_pieces; i++)
		(void)close(disk->pieces[i].fd);
	free(disk->pieces);
	disk->pieces = NULL;
	disk->n_pieces = 0;
	close_fdp(&disk->fd);
	disk->fd = -1;
}

static void add_piece(struct disk *disk, int fd, uint64_t start, uint64_t size)
{
	disk->pieces = xreallocarray(disk->pieces, disk->n_pieces + 1, sizeof(*disk->pieces));
	disk->pieces[disk->n_pieces++] =
	    (struct disk_piece){ .fd = fd, .start = start, .size = size };
}

int disk_append(struct disk *disk, int fd, struct error **ret_error)
{
	struct disk piece;
	const uint64_t start = align_up(disk->size, DISK_PIECE_ALIGN);
	uint64_t end;

	if (disk_init(&piece, fd, true, ret_error) < 0)
		return -1;
	if (!disk->readonly || disk->size > INT64_MAX - DISK_PIECE_ALIGN ||
	    checked_add(start, piece.size, &end) || end > INT64_MAX) {
		disk_done(&piece);
		return error_set(ret_error, EINVAL,
				 "a disk of several files is read-only, and of less than 2^63 "
				 "bytes");
	}
	if (!disk->pieces)
		add_piece(disk, disk->fd, 0, disk->size);
	add_piece(disk, fd, start, piece.size);
	disk->size = end;
	disk->block_size = MAX(disk->block_size, piece.block_size);
	return 0;
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

/* ---- several pieces ---- */

/* The last that begins at offset or before it. */
static const struct disk_piece *find_piece(const struct disk *disk, uint64_t offset)
{
	size_t low = 0, high = disk->n_pieces;

	while (high - low > 1) {
		const size_t middle = low + (high - low) / 2;

		if (disk->pieces[middle].start <= offset)
			low = middle;
		else
			high = middle;
	}
	return &disk->pieces[low];
}

static ssize_t read_zeros(const struct iovec *iov, uint64_t size)
{
	const size_t n = (size_t)MIN((uint64_t)iov->iov_len, size);

	memset(iov->iov_base, 0, n);
	return (ssize_t)n;
}

/* Of the iovecs what lies within size bytes, without a copy of them. */
static ssize_t read_at_most(int fd, uint64_t offset, struct iovec *iov, unsigned n_iov,
			    uint64_t size)
{
	uint64_t sum = 0;
	unsigned n = 0;
	size_t cut;
	ssize_t result;

	while (n < n_iov && sum < size)
		sum += iov[n++].iov_len;
	cut = sum > size ? (size_t)(sum - size) : 0;
	iov[n - 1].iov_len -= cut;
	result = preadv(fd, iov, (int)n, (off_t)offset);
	iov[n - 1].iov_len += cut;
	return result;
}

static ssize_t read_piece(const struct disk *disk, uint64_t offset, struct iovec *iov,
			  unsigned n_iov)
{
	const struct disk_piece *piece = find_piece(disk, offset);
	const uint64_t within = offset - piece->start;

	if (within < piece->size)
		return read_at_most(piece->fd, within, iov, n_iov, piece->size - within);
	/* The caller's range ends with the disk: there is a next one. */
	return read_zeros(iov, piece[1].start - offset);
}

int disk_read(const struct disk *disk, uint64_t offset, struct iovec *iov, unsigned n_iov)
{
	int r = n_iov > 0;

	while (disk->pieces && r > 0)
		r = advance(read_piece(disk, offset, iov, n_iov), &offset, &iov, &n_iov);
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
