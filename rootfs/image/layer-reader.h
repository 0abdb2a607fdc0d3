/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer's image (squashfs), read by libsquashfs: neither mounted nor unpacked.  It is one of the
 * store's, whose contents are from outside, written by unpack_layer().
 */
#pragma once

#include <stdbool.h>

#include <sqfs/compressor.h>
#include <sqfs/dir_reader.h>
#include <sqfs/inode.h>
#include <sqfs/io.h>
#include <sqfs/super.h>

#include "base/error.h"

#define LAYER_OPAQUE_ATTRIBUTE "trusted.overlay.opaque"

struct layer_reader {
	const char *path;
	sqfs_file_t *file;
	sqfs_super_t super;
	sqfs_compressor_t *compressor;
	sqfs_dir_reader_t *directories;
	sqfs_inode_generic_t *inode; /* the root; the user may put another one in its place */
};

/* reader->path is set, the rest zero. */
int layer_reader_open(struct layer_reader *reader, struct error **ret_error);
void layer_reader_done(struct layer_reader *reader);
/* A result of libsquashfs's: negative is EIO. */
int layer_reader_check(const struct layer_reader *reader, int result, struct error **ret_error);
