/* SPDX-License-Identifier: Apache-2.0 */
/* A layer's stream, whatever it is, becomes an image or an error. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "rootfs/image/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct unpack_options limits = { .bytes_max = 4 << 20, .entries_max = 1000 };
	_cleanup_close_ int tar_fd = memfd_create("tar", MFD_CLOEXEC);
	_cleanup_close_ int image_fd = memfd_create("image", MFD_CLOEXEC);
	_cleanup_error_ struct error *error = NULL;
	struct unpack_result result;

	if (tar_fd < 0 || image_fd < 0 || write_all(tar_fd, data, size) < 0 ||
	    lseek(tar_fd, 0, SEEK_SET) < 0)
		return 0;
	if ((unpack_layer(tar_fd, image_fd, &limits, &result, &error) < 0) != (error != NULL))
		__builtin_trap();
	return 0;
}
