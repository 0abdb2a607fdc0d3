/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File contents into the image, and those of a tree on disk.  One thread reads, the
 * library's compress.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqfs/block.h>

#include "base/alloc.h"
#include "base/io.h"
#include "rootfs/image/image-parts.h"

#define READ_SIZE (512U << 10)

struct feed {
	struct image *image;
	uint8_t *buffer; /* READ_SIZE */
};

static int check(const struct image *image, int result, struct error **ret_error)
{
	return image_check(image, result, "store a file in", ret_error);
}

int image_file_begin(struct image *image, struct tree_node *node, struct error **ret_error)
{
	struct image_entry *entry = node->stored;

	if (node->has_holes)
		entry->n_blocks =
		    (uint32_t)((node->size + IMAGE_BLOCK_SIZE - 1) / IMAGE_BLOCK_SIZE);
	return check(image,
		     sqfs_block_processor_begin_file(image->processor, &entry->inode, NULL,
						     node->has_holes ? SQFS_BLK_DONT_FRAGMENT : 0),
		     ret_error);
}

int image_file_append(struct image *image, const void *bytes, size_t size, struct error **ret_error)
{
	return check(image, sqfs_block_processor_append(image->processor, bytes, size), ret_error);
}

int image_file_append_block(struct image *image, struct tree_node *node, uint32_t number,
			    const void *bytes, size_t size, struct error **ret_error)
{
	struct image_entry *entry = node->stored;

	if (image_file_append(image, bytes, size, ret_error) < 0)
		return -1;
	if (entry->n_data == entry->n_room) {
		entry->n_room = entry->n_room ? entry->n_room * 2 : 16;
		entry->data_blocks =
		    xreallocarray(entry->data_blocks, entry->n_room, sizeof(uint32_t));
	}
	entry->data_blocks[entry->n_data++] = number;
	return 0;
}

int image_file_end(struct image *image, struct error **ret_error)
{
	return check(image, sqfs_block_processor_end_file(image->processor), ret_error);
}

static int file_error(const struct image *image, const struct tree_node *node, int code,
		      const char *what, struct error **ret_error)
{
	_cleanup_free_ char *path = tree_node_path(image->tree, node);

	return error_set_errno(ret_error, code, "cannot %s the file %s", what, path);
}

static int feed_dense(struct feed *feed, const struct tree_node *node, int fd,
		      struct error **ret_error)
{
	uint64_t left = node->size;

	while (left > 0) {
		ssize_t n = read_all(fd, feed->buffer, left < READ_SIZE ? left : READ_SIZE);

		if (n < 0)
			return file_error(feed->image, node, errno, "read", ret_error);
		if (n == 0)
			return tree_changed(feed->image->tree, node, ret_error);
		if (image_file_append(feed->image, feed->buffer, (size_t)n, ret_error) < 0)
			return -1;
		left -= (uint64_t)n;
	}
	return 0;
}

/* One block at `at`, zeros where it has holes. */
static int feed_block(struct feed *feed, struct tree_node *node, int fd, uint64_t at,
		      struct error **ret_error)
{
	uint64_t left = node->size - at;
	size_t size = left < IMAGE_BLOCK_SIZE ? left : IMAGE_BLOCK_SIZE, done = 0;

	while (done < size) {
		ssize_t n = pread(fd, feed->buffer + done, size - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return file_error(feed->image, node, errno, "read", ret_error);
		if (n == 0)
			return tree_changed(feed->image->tree, node, ret_error);
		done += (size_t)n;
	}
	return image_file_append_block(feed->image, node, (uint32_t)(at / IMAGE_BLOCK_SIZE),
				       feed->buffer, size, ret_error);
}

static int feed_sparse(struct feed *feed, struct tree_node *node, int fd, struct error **ret_error)
{
	uint64_t at = 0;

	while (at < node->size) {
		off_t data = lseek(fd, (off_t)at, SEEK_DATA);

		if (data < 0 && errno == ENXIO)
			break; /* a hole up to the end */
		if (data < 0)
			return file_error(feed->image, node, errno, "read", ret_error);
		if ((uint64_t)data >= node->size)
			break;
		if ((uint64_t)data > at)
			at = (uint64_t)data - (uint64_t)data % IMAGE_BLOCK_SIZE;
		if (feed_block(feed, node, fd, at, ret_error) < 0)
			return -1;
		at += IMAGE_BLOCK_SIZE;
	}
	return 0;
}

static int open_file(const struct image *image, const struct tree_node *node, int dir_fd,
		     struct error **ret_error)
{
	/* O_NONBLOCK: what was a file when the tree was read may be a FIFO now. */
	int fd =
	    openat(dir_fd, node->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 && (errno == ENOENT || errno == ELOOP || errno == ENXIO))
		return tree_changed(image->tree, node, ret_error);
	if (fd < 0)
		return file_error(image, node, errno, "read", ret_error);
	return fd;
}

static int feed_file(struct feed *feed, struct tree_node *node, int dir_fd,
		     struct error **ret_error)
{
	_cleanup_close_ int fd = open_file(feed->image, node, dir_fd, ret_error);
	int result;

	if (fd < 0)
		return -1;
	if (node->size > IMAGE_FILE_SIZE_MAX)
		return file_error(feed->image, node, EFBIG, "store", ret_error);
	if (!tree_unchanged(node, fd))
		return tree_changed(feed->image->tree, node, ret_error);
	result = node->has_holes ? feed_sparse(feed, node, fd, ret_error)
				 : feed_dense(feed, node, fd, ret_error);
	if (result == 0 && !tree_unchanged(node, fd))
		return tree_changed(feed->image->tree, node, ret_error);
	return result;
}

static int data_visit(struct tree *tree, struct tree_node *node, int dir_fd, void *opaque,
		      struct error **ret_error)
{
	struct feed *feed = opaque;
	struct image *image = feed->image;

	(void)tree;
	if (!S_ISREG(node->mode) || node->link != node)
		return 0;
	if (image_file_begin(image, node, ret_error) < 0)
		return -1;
	if (!node->left_out && feed_file(feed, node, dir_fd, ret_error) < 0)
		return -1;
	return image_file_end(image, ret_error);
}

int image_write_data(struct image *image, struct error **ret_error)
{
	struct feed feed = { .image = image, .buffer = xmalloc(READ_SIZE) };
	int result = tree_walk(image->tree, data_visit, &feed, ret_error);

	free(feed.buffer);
	return result;
}
