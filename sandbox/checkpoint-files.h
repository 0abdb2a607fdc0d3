/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a checkpoint that is being made (checkpoint-manifest.h).  They have other names
 * until all of them are there and synced, so that a part is never taken for the whole.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "sandbox/checkpoint-manifest.h"

struct checkpoint_files {
	char *path; /* of the image directory */
	int dir_fd; /* -1: not open */
	bool made;  /* the directory is ours to remove */
};

/* Makes the directory if it is not there (*ret_made), and opens it.  Errors call the path "the WHAT
 * PATH". */
int checkpoint_open_directory(const char *what, const char *path, bool *ret_made, int *ret_fd,
			      struct error **ret_error);
/* Makes the directory if it is not there. Failed: done all the same. */
int checkpoint_files_open(const char *path, struct checkpoint_files *ret_files,
			  struct error **ret_error);
/* Removes what has no name yet, and the directory if it was made for this. */
void checkpoint_files_discard(struct checkpoint_files *files);
void checkpoint_files_done(struct checkpoint_files *files);
/* An empty file, for reading and writing; one that an earlier server has left there goes. */
int checkpoint_files_make(const struct checkpoint_files *files, const char *name, int *ret_fd,
			  struct error **ret_error);
/* Writes the manifest, and names all files, in the place of an older checkpoint's; failed, there is
 * none. */
int checkpoint_files_finish(const struct checkpoint_files *files,
			    const struct checkpoint_manifest *manifest, struct error **ret_error);
