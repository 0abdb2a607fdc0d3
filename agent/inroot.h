/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths inside a container's root that the container's image made: resolved by
 * openat2(RESOLVE_IN_ROOT), so that "..", absolute and magic links never lead
 * out.  root_fd is a descriptor of the root directory.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* open(2) of path as seen with root_fd as "/"; always close-on-exec; -1 with
 * errno.  `resolve` adds RESOLVE_… flags. */
int inroot_open(int root_fd, const char *path, int flags, uint64_t resolve);

/* Makes the directory and those missing above it, also behind links; one that
 * exists is fine.  *ret_fd (O_PATH) is the directory. */
int inroot_make_directories(int root_fd, const char *path, mode_t mode, int *ret_fd,
			    struct error **ret_error);

/* Makes what is missing above path; *ret_fd is its parent, *ret_name (caller
 * frees) its last component. */
int inroot_make_parent(int root_fd, const char *path, int *ret_fd, char **ret_name,
		       struct error **ret_error);

/* The file, made empty with this mode (and what is missing above it) if it is not
 * there, also where a link leads to nothing; one that exists, of any kind, is fine.
 * *ret_fd (O_PATH) is it. */
int inroot_make_file(int root_fd, const char *path, mode_t mode, int *ret_fd,
		     struct error **ret_error);

/* The path of what is open as fd, as seen with root_fd as "/"; caller frees. */
int inroot_path(int root_fd, int fd, char **ret_path, struct error **ret_error);

/* "/proc/self/fd/N" for system calls that take no descriptor. */
#define FD_PATH_SIZE 40
const char *fd_path(int fd, char ret_path[FD_PATH_SIZE]);
