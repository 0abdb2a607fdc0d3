/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong with an image: see image-parts.h. */
#include <errno.h>
#include <sqfs/error.h>

#include "rootfs/image/image-parts.h"

static int error_code(int result)
{
	switch (result) {
	case SQFS_ERROR_ALLOC:
		return ENOMEM;
	case SQFS_ERROR_OVERFLOW:
		return EOVERFLOW;
	default:
		return EIO;
	}
}

int image_check(const struct image *image, int result, const char *what, struct error **ret_error)
{
	if (image->file.error)
		return error_set_errno(ret_error, image->file.error, "cannot write the image of %s",
				       image->tree->path);
	if (result == 0)
		return 0;
	return error_set_errno(ret_error, error_code(result),
			       "cannot %s the image of %s (libsquashfs error %d)", what,
			       image->tree->path, result);
}
