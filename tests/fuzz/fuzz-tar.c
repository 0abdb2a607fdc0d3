/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a guest gives as a tar stream is read within its bounds, or is an error. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = memfd_create("tar", MFD_CLOEXEC);
	_cleanup_error_ struct error *error = NULL;
	struct tar_reader reader = { .fd = fd };
	int result = 1;

	if (fd < 0 || write_all(fd, data, size) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return 0;
	while (result > 0) {
		struct tar_entry entry = { 0 };
		char bytes[16];

		result = tar_next(&reader, &entry, &error);
		if (result > 0 &&
		    (!entry.path || tar_read(&reader, bytes, sizeof(bytes), &error) < 0))
			result = -1;
		tar_entry_done(&entry);
	}
	if ((result < 0) != (error != NULL))
		__builtin_trap();
	return 0;
}
