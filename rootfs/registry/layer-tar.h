/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer as a tar archive, made of the image that the store has of it: unpack_layer() the other
 * way round.
 *
 * Always the same bytes for the same image: names in the order of squashfs, no times but
 * mtimes.  Not those that the layer came as: nothing tells in which order and form these were.
 */
#pragma once

#include "base/error.h"
#include "rootfs/image/digest.h"

/* To fd, a regular file, from its present offset on; ret_digest is that of the archive, which is
 * not compressed, so it is its diff-id, too. */
int layer_write_tar(const char *image_path, int fd, char ret_digest[DIGEST_SIZE],
		    struct error **ret_error);
