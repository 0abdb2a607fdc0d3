/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of an image layout: of a directory, or of an archive, whose members are kept in files
 * without names below the store, which are gone with the process whatever happens.
 *
 * Hostile as everything that comes from outside.  An archive's names are looked up, never used as
 * paths, and its links lead to other members only.  A directory's names lead to nothing outside,
 * and through no symbolic link.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

#define LAYOUT_MEMBERS_MAX 4096
#define LAYOUT_BYTES_MAX (256ULL << 30)

struct layout;

/* path: a directory, or an archive, as it is or by gzip, bzip2, xz or zstd.  temporary: a directory
 * for unnamed files. */
int layout_open(const char *path, const char *temporary, struct layout **ret_layout,
		struct error **ret_error);
void layout_free(struct layout *layout);
DEFINE_CLEANUP(struct layout, layout_free)
/* A regular file, read from its start; a descriptor of the caller's. ENOENT. */
int layout_open_file(struct layout *layout, const char *name, int *ret_fd,
		     struct error **ret_error);
/* Where a layout has the blob of a valid digest; caller frees. */
char *layout_blob_name(const char *digest);
