/* SPDX-License-Identifier: Apache-2.0 */
/* Making an image: see image.h. */
#include "rootfs/image/image-parts.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include <sqfs/error.h>

#include "base/alloc.h"
#include "base/checked.h"

/* Blocks that may wait for a thread or for being written, for each thread, and in all: 2 MiB, as a
 * pull makes several images at once.  More did not make it
 * faster. */
#define BACKLOG_PER_THREAD 4U
#define BACKLOG_MAX 16U
#define THREADS_MAX 16U
/* A device's size is a multiple of its block size. */
#define PAD_SIZE 4096U

static unsigned thread_count(void)
{
	cpu_set_t cpus;
	unsigned n;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return 1;
	n = (unsigned)CPU_COUNT(&cpus);
	return n < THREADS_MAX ? n : THREADS_MAX;
}

/* LZ4: decision 020. Blocks of 64 KiB or no fragments gain nothing. */
static int create_compressors(struct image *image)
{
	sqfs_compressor_config_t config;
	int result = sqfs_compressor_config_init(&config, SQFS_COMP_LZ4, IMAGE_BLOCK_SIZE, 0);

	if (result == 0)
		result = sqfs_compressor_create(&config, &image->compressor);
	config.flags |= SQFS_COMP_FLAG_UNCOMPRESS;
	if (result == 0)
		result = sqfs_compressor_create(&config, &image->decompressor);
	return result;
}

static int create_processor(struct image *image)
{
	unsigned n = thread_count();
	sqfs_block_processor_desc_t description = {
		.size = sizeof(description),
		.max_block_size = IMAGE_BLOCK_SIZE,
		.num_workers = n,
		.max_backlog = MIN(n * BACKLOG_PER_THREAD, BACKLOG_MAX),
		.cmp = image->compressor,
		.wr = &image->blocks.base,
		.file = &image->file.base,
		.uncmp = image->decompressor,
	};

	image->fragments = sqfs_frag_table_create(0);
	if (!image->fragments)
		return SQFS_ERROR_ALLOC;
	description.tbl = image->fragments;
	return sqfs_block_processor_create_ex(&description, &image->processor);
}

/* The super block is written twice: room for it now, its contents at the end. */
static int write_head(struct image *image)
{
	int result = sqfs_super_init(&image->super, IMAGE_BLOCK_SIZE, 0, SQFS_COMP_LZ4);

	if (result == 0)
		result = sqfs_super_write(&image->super, &image->file.base);
	if (result == 0)
		result = image->compressor->write_options(image->compressor, &image->file.base);
	if (result > 0)
		image->super.flags |= SQFS_FLAG_COMPRESSOR_OPTIONS;
	return result < 0 ? result : 0;
}

/*
 * Lets the threads end what they have in hand, also after an error: the library
 * frees only blocks that are at rest.  Each call that fails has let go of one.
 */
static void drain(struct image *image)
{
	for (unsigned i = 0; i < thread_count() * BACKLOG_PER_THREAD + 4; i++)
		if (sqfs_block_processor_sync(image->processor) == 0)
			return;
}

void image_done(struct image *image)
{
	struct image_entry *next;

	if (image->processor)
		drain(image);
	sqfs_destroy(image->processor);
	sqfs_destroy(image->fragments);
	sqfs_destroy(image->compressor);
	sqfs_destroy(image->decompressor);
	for (struct image_entry *entry = image->entries; entry; entry = next) {
		next = entry->next;
		free(entry->inode);
		free(entry->data_blocks);
		free(entry);
	}
}

void image_entry_add(struct image *image, struct tree_node *node)
{
	node->stored = xcalloc(1, sizeof(*node->stored));
	node->stored->next = image->entries;
	image->entries = node->stored;
}

static int pad(struct image *image, struct error **ret_error)
{
	off_t size = (off_t)((image->file.size + PAD_SIZE - 1) / PAD_SIZE * PAD_SIZE);

	if (ftruncate(image->file.fd, size) < 0)
		image->file.error = errno;
	image->file.size = (uint64_t)size;
	return image_check(image, 0, "write", ret_error);
}

int image_begin(struct image *image, struct tree *tree, int fd, struct error **ret_error)
{
	int result;

	*image = (struct image){ .tree = tree };
	image_file_init(&image->file, fd);
	image_blocks_init(&image->blocks, &image->file);
	result = create_compressors(image);
	if (result == 0)
		result = write_head(image);
	if (result == 0)
		result = create_processor(image);
	return image_check(image, result, "begin", ret_error);
}

int image_finish(struct image *image, struct error **ret_error)
{
	if (image_check(image, sqfs_block_processor_finish(image->processor), "store the files in",
			ret_error) < 0 ||
	    image_write_metadata(image, ret_error) < 0)
		return -1;
	return pad(image, ret_error);
}

int image_write(struct tree *tree, int fd, struct error **ret_error)
{
	_cleanup_(image_done) struct image image;

	if (image_begin(&image, tree, fd, ret_error) < 0)
		return -1;
	for (struct tree_node *node = tree->root; node; node = tree_next(node))
		if (node->link == node)
			image_entry_add(&image, node);
	if (image_write_data(&image, ret_error) < 0)
		return -1;
	return image_finish(&image, ret_error);
}
