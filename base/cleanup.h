/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scope-bound cleanup: attributes that free on every way out of a block, and
 * type-safe stealing for handing a resource on.
 */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define _cleanup_(function) __attribute__((cleanup(function)))
#define _cleanup_free_ _cleanup_(free_pointer)
#define _cleanup_close_ _cleanup_(close_fdp)
#define _cleanup_file_ _cleanup_(close_filep)
#define _cleanup_dir_ _cleanup_(close_dirp)

/* Defines foo_freep(struct foo **) for use with _cleanup_; foo_free(NULL) must
 * be fine. */
#define DEFINE_CLEANUP(type, function)                                                             \
	static inline void function##p(type **pointer)                                             \
	{                                                                                          \
		function(*pointer);                                                                \
	}

/* The value of a pointer variable, which becomes NULL: ownership moves on. */
#define TAKE_PTR(pointer)                                                                          \
	({                                                                                         \
		__typeof__(pointer) *take_from_ = &(pointer);                                      \
		__typeof__(pointer) taken_ = *take_from_;                                          \
		*take_from_ = NULL;                                                                \
		taken_;                                                                            \
	})

/* The same for a file descriptor variable, which becomes -1. */
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int *take_from_ = &(fd);                                                           \
		int taken_ = *take_from_;                                                          \
		*take_from_ = -1;                                                                  \
		taken_;                                                                            \
	})

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

static inline void free_pointer(void *pointer)
{
	free(*(void **)pointer);
}

/* Closes *fd if it is not negative; keeps errno. */
void close_fdp(int *fd);

static inline void close_filep(FILE **file)
{
	if (*file)
		(void)fclose(*file);
}

static inline void close_dirp(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}
