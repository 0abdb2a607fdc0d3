/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of image_write(): see image.h. */
#pragma once

#include <sqfs/block_processor.h>
#include <sqfs/compressor.h>
#include <sqfs/frag_table.h>
#include <sqfs/inode.h>
#include <sqfs/super.h>

#include "rootfs/image/image.h"
#include "rootfs/image/image-file.h"

#define IMAGE_BLOCK_SIZE (128U << 10)

/* What the image knows of one tree_node, by its index. */
struct image_entry {
	sqfs_inode_generic_t *inode; /* of a regular file: where its data is */
	/* Of a file with holes: the numbers of its n_data blocks that were stored, in
	 * order; the inode's own list has only these, the rest of the file is holes. */
	uint32_t *data_blocks;
	uint32_t n_data, n_blocks;
	uint64_t inode_reference; /* set when its inode is written */
	uint32_t inode_number;
	uint32_t xattr_index;
};

struct image {
	struct tree *tree;
	struct image_entry *entries; /* tree->n_nodes */
	struct image_file file;
	struct image_blocks blocks;
	sqfs_super_t super;
	sqfs_compressor_t *compressor, *decompressor;
	sqfs_frag_table_t *fragments;
	sqfs_block_processor_t *processor;
};

static inline struct image_entry *image_entry(struct image *image, const struct tree_node *node)
{
	return &image->entries[node->index];
}

/* The library's `result` (an SQFS_ERROR, 0 is fine) or a failed write before as
 * an error; returns 0 or -1. */
int image_check(const struct image *image, int result, const char *what, struct error **ret_error);

/* Reads every regular file and stores what is in it; sets the entries' inodes. */
int image_write_data(struct image *image, struct error **ret_error);
/* Writes inodes, directories and tables behind the data, and the super block. */
int image_write_metadata(struct image *image, struct error **ret_error);
