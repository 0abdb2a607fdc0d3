/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of an image layout: of a directory, or of an archive, whose members are kept in files
 * without names below the store, which are gone with the process whatever happens.
 *
 * Hostile as everything that comes from outside.  An archive's names are looked up, never used as
 * paths, and its links lead to other members only.  A directory's names and links lead to nothing
 * outside.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "rootfs/image/digest.h"

#define LAYOUT_MEMBERS_MAX 4096
#define LAYOUT_BYTES_MAX (256ULL << 30)

struct layout;

/* path: a directory, or an archive (a file or a pipe), as it is or by gzip, bzip2, xz or zstd; "-":
 * the caller's standard input.  temporary: a directory for unnamed files. */
int layout_open(const char *path, const char *temporary, struct layout **ret_layout,
		struct error **ret_error);
void layout_free(struct layout *layout);
DEFINE_CLEANUP(struct layout, layout_free)
/* A regular file, read from its start; a descriptor of the caller's. ENOENT. */
int layout_open_file(struct layout *layout, const char *name, int *ret_fd,
		     struct error **ret_error);
/* One that is small, as read_file(). */
int layout_read_file(struct layout *layout, const char *name, size_t size_max, char **ret_text,
		     size_t *ret_size, struct error **ret_error);
/* The digest of a whole file. */
int layout_digest_file(struct layout *layout, const char *name, char ret_digest[DIGEST_SIZE],
		       struct error **ret_error);
/* The same of an open one, from its start; its bytes go to copy_fd, too (-1: nowhere). */
int file_digest(int fd, int copy_fd, char ret_digest[DIGEST_SIZE], struct error **ret_error);
/* Where a layout has the blob of a valid digest; caller frees. */
char *layout_blob_name(const char *digest);
