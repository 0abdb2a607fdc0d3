/* SPDX-License-Identifier: Apache-2.0 */
/* The image file and its data blocks, as the squashfs library wants them: see
 * image-file.h. */
#include "rootfs/image/image-file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <sqfs/block.h>
#include <sqfs/error.h>

/* Write-back starts when so much is waiting, so that the fsync at the end has
 * little left to wait for. */
#define WRITE_BACK_STEP (8U << 20)

static int file_read_at(sqfs_file_t *base, sqfs_u64 offset, void *buffer, size_t size)
{
	struct image_file *file = (struct image_file *)base;
	size_t done = 0;

	if (file->error)
		return SQFS_ERROR_IO;
	while (done < size) {
		ssize_t n =
		    pread(file->fd, (char *)buffer + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return SQFS_ERROR_IO;
		if (n == 0)
			return SQFS_ERROR_OUT_OF_BOUNDS;
		done += (size_t)n;
	}
	return 0;
}

static int file_write_at(sqfs_file_t *base, sqfs_u64 offset, const void *buffer, size_t size)
{
	struct image_file *file = (struct image_file *)base;
	size_t done = 0;

	while (!file->error && done < size) {
		ssize_t n = pwrite(file->fd, (const char *)buffer + done, size - done,
				   (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			file->error = errno;
		else
			done += (size_t)n;
	}
	if (offset + size > file->size)
		file->size = offset + size;
	if (!file->error && file->size - file->started >= WRITE_BACK_STEP) {
		(void)sync_file_range(file->fd, (off_t)file->started,
				      (off_t)(file->size - file->started), SYNC_FILE_RANGE_WRITE);
		file->started = file->size;
	}
	return 0;
}

static sqfs_u64 file_get_size(const sqfs_file_t *base)
{
	return ((const struct image_file *)base)->size;
}

static int file_truncate(sqfs_file_t *base, sqfs_u64 size)
{
	struct image_file *file = (struct image_file *)base;

	if (!file->error && ftruncate(file->fd, (off_t)size) < 0)
		file->error = errno;
	file->size = size;
	return 0;
}

static void nothing_to_destroy(sqfs_object_t *object)
{
	(void)object;
}

void image_file_init(struct image_file *file, int fd)
{
	*file = (struct image_file){
		.base = { .base = { .destroy = nothing_to_destroy },
			  .read_at = file_read_at,
			  .write_at = file_write_at,
			  .get_size = file_get_size,
			  .truncate = file_truncate },
		.fd = fd,
	};
}

static int write_data_block(sqfs_block_writer_t *base, void *user, sqfs_u32 size, sqfs_u32 checksum,
			    sqfs_u32 flags, const sqfs_u8 *data, sqfs_u64 *location)
{
	struct image_blocks *blocks = (struct image_blocks *)base;
	sqfs_u64 at = blocks->file->size;

	(void)user;
	(void)checksum;
	if (flags & SQFS_BLK_FIRST_BLOCK)
		blocks->file_start = at;
	if (size > 0 && !(flags & SQFS_BLK_IS_SPARSE)) {
		blocks->n_blocks++;
		(void)file_write_at(&blocks->file->base, at, data, size);
	}
	*location = flags & SQFS_BLK_LAST_BLOCK ? blocks->file_start : at;
	return 0;
}

static sqfs_u64 get_block_count(const sqfs_block_writer_t *base)
{
	return ((const struct image_blocks *)base)->n_blocks;
}

void image_blocks_init(struct image_blocks *blocks, struct image_file *file)
{
	*blocks = (struct image_blocks){
		.base = { .base = { .destroy = nothing_to_destroy },
			  .write_data_block = write_data_block,
			  .get_block_count = get_block_count },
		.file = file,
	};
}
