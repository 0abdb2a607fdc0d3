/* SPDX-License-Identifier: Apache-2.0 */
/* Writing entries of a tar stream from files: what tar_pack() and tar_pack_changes() share. */
#pragma once

#include <sys/stat.h>

#include "base/tar.h"

struct packer {
	const struct tar_pack *is;
	int fd;
	struct buffer buffer;
	void *linked; /* tsearch(3): files of several names */
};

/* The file `name` in the directory, and what is below it, called path; depth 0: the first one,
 * which must be there. */
int packer_put(struct packer *packer, int dir, const char *name, const char *path, unsigned depth,
	       struct error **ret_error);
/* The directory alone, with its extended attributes. */
void packer_put_directory(struct packer *packer, int fd, struct tar_entry *entry);
/* Its owner, mode and times, as far as the stream has them; the path is the caller's, copied. */
void packer_fill(const struct stat *st, const char *path, struct tar_entry *ret_entry);
/* Writes what is more than limit. */
int packer_flush(struct packer *packer, size_t limit, struct error **ret_error);
/* The end of the stream. */
int packer_end(struct packer *packer, struct error **ret_error);
void packer_done(struct packer *packer);
