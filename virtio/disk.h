/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind a block device: a regular file or a block device, read and
 * written straight between its page cache and the caller's iovecs.  Any thread;
 * every function blocks.  Ranges are in bytes and must lie within size: the
 * caller has checked that.  0, or -1 with errno.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

/* A file that is a part of a disk. */
struct disk_piece {
	int fd;		      /* owned */
	uint64_t start, size; /* bytes, multiples of 512 */
};
#define DISK_PIECE_ALIGN 4096 /* of each piece's start; what is between two reads as zeros */

struct disk {
	int fd; /* owned; of several pieces the first one's */
	bool readonly;
	bool is_block_device;
	uint64_t size;		   /* bytes, a multiple of 512 */
	uint32_t block_size;	   /* logical: what access should be aligned to */
	struct disk_piece *pieces; /* all of them, in order; NULL: there is one */
	size_t n_pieces;
};

/* Takes fd over, on failure too (closed then). */
int disk_init(struct disk *disk, int fd, bool readonly, struct error **ret_error);
void disk_done(struct disk *disk);
/* Another file behind what there is, of a read-only disk.  Takes fd over, on failure too. */
int disk_append(struct disk *disk, int fd, struct error **ret_error);

/* All of the iovecs (changed by the call) at offset. */
int disk_read(const struct disk *disk, uint64_t offset, struct iovec *iov, unsigned n_iov);
/* through: the data is on stable storage when this returns. */
int disk_write(const struct disk *disk, uint64_t offset, struct iovec *iov, unsigned n_iov,
	       bool through);
int disk_flush(const struct disk *disk);
/* Gives the storage back where that is possible; what is read there after is
 * undefined. */
int disk_discard(const struct disk *disk, uint64_t offset, uint64_t size);
/* Zeroes; unmap: giving storage back is welcome. */
int disk_zero(const struct disk *disk, uint64_t offset, uint64_t size, bool unmap);
