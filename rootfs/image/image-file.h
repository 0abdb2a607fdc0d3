/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The squashfs library's view of the image file: positions in, bytes out, all
 * on one descriptor that stays the caller's.
 */
#pragma once

#include <stdint.h>

#include <sqfs/block_writer.h>
#include <sqfs/io.h>

struct image_file {
	sqfs_file_t base;
	int fd;
	uint64_t size;	  /* where the next write goes */
	uint64_t started; /* up to here write-back was asked for */
	/*
	 * The first failed write's errno.  Later writes are dropped and claim
	 * to have worked: a library half-way through a failed image does not
	 * free all of its blocks, one at its regular end does.  A caller that writes
	 * looks here.
	 */
	int error;
};

void image_file_init(struct image_file *file, int fd);

/*
 * Appends data blocks to the file and nothing more.  (The library's own writer
 * also looks every file's blocks up among all earlier ones, which takes a time
 * that grows with their number squared and finds next to nothing in a rootfs;
 * equal small files are still stored once, by the block processor.)
 */
struct image_blocks {
	sqfs_block_writer_t base;
	struct image_file *file;
	uint64_t file_start; /* where the current file's first block went */
	uint64_t n_blocks;
};

void image_blocks_init(struct image_blocks *blocks, struct image_file *file);
