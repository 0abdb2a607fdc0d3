/* SPDX-License-Identifier: Apache-2.0 */
/* Clock and entropy from the host: see identity.h. */
#include "agent/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "base/alloc.h"

#define ENTROPY_MAX 512

int identity_set_clock(uint64_t realtime_ns, struct error **ret_error)
{
	struct timespec time = {
		.tv_sec = (time_t)(realtime_ns / 1000000000),
		.tv_nsec = (long)(realtime_ns % 1000000000),
	};

	if (realtime_ns != 0 && clock_settime(CLOCK_REALTIME, &time) < 0)
		return error_set_errno(ret_error, errno, "cannot set the clock");
	return 0;
}

int identity_add_entropy(const uint8_t *entropy, size_t size, struct error **ret_error)
{
	_cleanup_close_ int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
	_cleanup_free_ struct rand_pool_info *pool = xcalloc(1, sizeof(*pool) + ENTROPY_MAX);

	if (size == 0)
		return 0;
	size = size > ENTROPY_MAX ? ENTROPY_MAX : size;
	pool->entropy_count = (int)size * 8;
	pool->buf_size = (int)size;
	memcpy(pool->buf, entropy, size);
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
		return error_set_errno(ret_error, errno, "cannot add entropy");
	return 0;
}
