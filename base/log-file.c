/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log file of limited size: see log-file.h.
 *
 * When it is full, its last half moves to the beginning, behind a line that says so,
 * and the rest is cut off: in place, because the processes that write such a file may
 * open no other.  A process that dies meanwhile leaves a file that is not too large,
 * and has the last words at its end all the same.
 */
#include "base/log-file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/cleanup.h"

/* On the stack of the caller that logs. */
#define CHUNK_SIZE 4096

static const char gone[] = "[earlier output was discarded]\n";

struct log_file {
	pthread_mutex_t lock; /* a leaf lock */
	int append_fd;	      /* the caller's */
	int fd;		      /* the same file, to be read and written anywhere */
	size_t size, size_max;
};

int log_file_new(int fd, size_t size_max, struct log_file **ret_file, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", fd);
	_cleanup_close_ int own = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	struct log_file *file;
	struct stat st;

	if (own < 0 || fstat(own, &st) < 0)
		return error_set_errno(ret_error, errno, "cannot open the log file %s", path);
	if (!S_ISREG(st.st_mode) || size_max < LOG_FILE_SIZE_MIN)
		return error_set(ret_error, EINVAL, "cannot keep a log of %zu bytes in %s",
				 size_max, path);
	file = xcalloc(1, sizeof(*file));
	(void)pthread_mutex_init(&file->lock, NULL);
	file->append_fd = fd;
	file->fd = TAKE_FD(own);
	file->size = (size_t)st.st_size;
	file->size_max = size_max;
	*ret_file = file;
	return 0;
}

void log_file_free(struct log_file *file)
{
	if (!file)
		return;
	close_fdp(&file->fd);
	(void)pthread_mutex_destroy(&file->lock);
	free(file);
}

/* Lock held.  Of what is in the file, the last `keep` bytes stay. */
static void cut(struct log_file *file, size_t keep)
{
	size_t from = file->size - keep, to = sizeof(gone) - 1;
	char chunk[CHUNK_SIZE];
	ssize_t n;

	/* What is read has not been written over yet: from is behind to. */
	(void)!pwrite(file->fd, gone, to, 0);
	while (from < file->size) {
		n = pread(file->fd, chunk, MIN(sizeof(chunk), file->size - from), (off_t)from);
		if (n <= 0 || pwrite(file->fd, chunk, (size_t)n, (off_t)to) != n)
			break;
		from += (size_t)n;
		to += (size_t)n;
	}
	if (ftruncate(file->fd, (off_t)to) == 0)
		file->size = to;
}

/* Lock held.  Whatever goes wrong, what was written is counted. */
static void append(struct log_file *file, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = write(file->append_fd, bytes, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		bytes += n;
		size -= (size_t)n;
		file->size += (size_t)n;
	}
}

static size_t room(const struct log_file *file)
{
	return file->size < file->size_max ? file->size_max - file->size : 0;
}

void log_file_write(struct log_file *file, const void *bytes, size_t size)
{
	const size_t half = file->size_max / 2;
	const char *at = bytes;

	(void)pthread_mutex_lock(&file->lock);
	if (size > room(file)) {
		size_t surplus = size > half ? size - half : 0;

		cut(file, surplus > 0 ? 0 : half - sizeof(gone));
		at += surplus;
		size -= surplus;
	}
	/* (It could not be cut: then there is no room.) */
	if (size <= room(file))
		append(file, at, size);
	(void)pthread_mutex_unlock(&file->lock);
}
