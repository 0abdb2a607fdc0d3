/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a tree as a squashfs image. */
#pragma once

#include "base/error.h"
#include "rootfs/image/tree.h"

/* Names the image's format; another program that makes other images of the
 * same trees must say otherwise. */
#define IMAGE_FORMAT "squashfs-1"

/*
 * Writes the image of the tree, file contents included, to fd: an empty file
 * open for reading and writing.  On failure what is in the file is of no use.
 * The code ESTALE says that a file was not what the tree says any more.
 *
 * Squashfs keeps times in whole seconds from 1970 to 2106 (others become the
 * nearest of these), and at most 65536 different owners and groups.
 */
int image_write(struct tree *tree, int fd, struct error **ret_error);
