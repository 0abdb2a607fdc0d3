/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of large files: see clone-file.h. */
#include "base/clone-file.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/io.h"

static int copy_data(int source_fd, int target_fd, off_t from, off_t to, struct error **ret_error)
{
	if (lseek(target_fd, from, SEEK_SET) < 0 ||
	    copy_bytes(source_fd, &from, target_fd, (size_t)(to - from)) < 0)
		return error_set_errno(ret_error, errno, "cannot copy its data");
	return from < to ? error_set(ret_error, EIO, "it is being cut while it is read") : 0;
}

static int copy_all(int source_fd, int target_fd, off_t size, struct error **ret_error)
{
	off_t data, hole = 0;

	if (ftruncate(target_fd, size) < 0)
		return error_set_errno(ret_error, errno, "cannot make a copy of its size");
	while ((data = lseek(source_fd, hole, SEEK_DATA)) >= 0 && data < size) {
		hole = lseek(source_fd, data, SEEK_HOLE);
		if (hole < 0)
			break;
		if (copy_data(source_fd, target_fd, data, MIN(hole, size), ret_error) < 0)
			return -1;
	}
	/* ENXIO: there is no data any more. */
	if ((data < 0 && errno != ENXIO) || hole < 0)
		return error_set_errno(ret_error, errno, "cannot find its data");
	return 0;
}

int clone_file(int source_fd, int target_fd, struct error **ret_error)
{
	struct stat st;

	if (fstat(source_fd, &st) < 0)
		return error_set_errno(ret_error, errno, "cannot look at it");
	if (!S_ISREG(st.st_mode))
		return error_set(ret_error, EINVAL, "it is not a regular file");
	if (ioctl(target_fd, FICLONE, source_fd) < 0 &&
	    copy_all(source_fd, target_fd, st.st_size, ret_error) < 0)
		return -1;
	if (fsync(target_fd) < 0)
		return error_set_errno(ret_error, errno, "cannot sync the copy");
	return 0;
}
