/* SPDX-License-Identifier: Apache-2.0 */
/* Loop devices: see loop-device.h. */
#include "host/loop-device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"

/* Another program may take the device that was free a moment ago. */
#define ATTEMPTS_MAX 100

int loop_device_attach(const char *file, bool readonly, char **ret_path, int *ret_fd,
		       struct error **ret_error)
{
	int mode = (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	_cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	_cleanup_close_ int backing = open(file, mode);
	struct loop_config config = { .info = { .lo_flags = LO_FLAGS_AUTOCLEAR |
							    (readonly ? LO_FLAGS_READ_ONLY : 0) } };

	if (backing < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", file);
	if (control < 0)
		return error_set_errno(ret_error, errno, "no loop device for %s: /dev/loop-control",
				       file);
	config.fd = (uint32_t)backing;
	(void)snprintf((char *)config.info.lo_file_name, sizeof(config.info.lo_file_name), "%s",
		       file);
	for (int i = 0; i < ATTEMPTS_MAX; i++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);
		_cleanup_free_ char *path = xasprintf("/dev/loop%d", number);
		_cleanup_close_ int fd = number < 0 ? -1 : open(path, mode);

		if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
			*ret_path = TAKE_PTR(path);
			*ret_fd = TAKE_FD(fd);
			return 0;
		}
		if (errno != EBUSY)
			return error_set_errno(ret_error, errno, "no loop device for %s (%s)", file,
					       path);
	}
	return error_set(ret_error, EBUSY, "no loop device for %s: all are in use", file);
}
