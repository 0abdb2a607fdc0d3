/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log file of bounded size: it keeps its end, at least half of the largest size that
 * it may have.  It is for logs that a guest writes to: they must not fill the host's
 * disk, and their last lines tell why the guest ended.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

#define LOG_FILE_SIZE_MIN 4096

struct log_file;

/* fd: a regular file that is open for appending, and may have something in it; stays the
 * caller's.  It is opened once more by its name in /proc, so before any jail.  What others
 * write to the file is not counted, and may be lost.  size_max: LOG_FILE_SIZE_MIN or more. */
int log_file_new(int fd, size_t size_max, struct log_file **ret_file, struct error **ret_error);
void log_file_free(struct log_file *file);
DEFINE_CLEANUP(struct log_file, log_file_free)

/* Any thread.  What cannot be written is lost: there is nobody to be told of it. */
void log_file_write(struct log_file *file, const void *bytes, size_t size);
