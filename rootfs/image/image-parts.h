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

/* What the image knows of one tree_node (its `stored`). */
struct image_entry {
	struct image_entry *next;    /* of all; image_done() frees them */
	sqfs_inode_generic_t *inode; /* of a regular file: where its data is */
	/* Of a file with holes: the numbers of its n_data blocks that were stored, in
	 * order; the inode's own list has only these, the rest of the file is holes. */
	uint32_t *data_blocks;
	uint32_t n_data, n_room, n_blocks;
	uint64_t inode_reference; /* set when its inode is written */
	uint32_t inode_number;
	uint32_t xattr_index;
};

struct image {
	struct tree *tree;
	struct image_entry *entries;
	struct image_file file;
	struct image_blocks blocks;
	sqfs_super_t super;
	sqfs_compressor_t *compressor, *decompressor;
	sqfs_frag_table_t *fragments;
	sqfs_block_processor_t *processor;
};

/*
 * Writing an image: image_begin(); the contents of the regular files, in any order and each once,
 * as they come; image_finish(), when the tree is whole.  image_done() in any case. What is in the
 * file after a failure is of no use.
 */
int image_begin(struct image *image, struct tree *tree, int fd, struct error **ret_error);
int image_finish(struct image *image, struct error **ret_error);
void image_done(struct image *image);

/* Every node whose `link` it is needs an entry before image_finish(). */
void image_entry_add(struct image *image, struct tree_node *node);

/*
 * A regular file's contents: begin, append, end.  A dense file's size is what was appended.
 * The library wants every byte of a file, zeros for holes.  A file with holes (node->has_holes)
 * is instead handed over as if only its blocks with data existed, each whole (but for the
 * file's last) and with its number; the holes come back when its inode is written
 * (image-meta.c), so that a sparse file of a terabyte costs no more than what is in it.
 */
int image_file_begin(struct image *image, struct tree_node *node, struct error **ret_error);
int image_file_append(struct image *image, const void *bytes, size_t size,
		      struct error **ret_error);
int image_file_append_block(struct image *image, struct tree_node *node, uint32_t number,
			    const void *bytes, size_t size, struct error **ret_error);
int image_file_end(struct image *image, struct error **ret_error);
/* The kernel counts a file's blocks in an int; ext4's largest file. */
#define IMAGE_FILE_SIZE_MAX (16ULL << 40)

/* The library's `result` (an SQFS_ERROR, 0 is fine) or a failed write before as
 * an error; returns 0 or -1. */
int image_check(const struct image *image, int result, const char *what, struct error **ret_error);

/* Reads every regular file of a tree on disk and stores what is in it. */
int image_write_data(struct image *image, struct error **ret_error);
/* Writes inodes, directories and tables behind the data, and the super block. */
int image_write_metadata(struct image *image, struct error **ret_error);
