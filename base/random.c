/* SPDX-License-Identifier: Apache-2.0 */
/* Random bytes: see random.h. */
#include "base/random.h"

#include <errno.h>
#include <sys/random.h>

int random_bytes(void *bytes, size_t size, struct error **ret_error)
{
	if (getrandom(bytes, size, 0) != (ssize_t)size)
		return error_set_errno(ret_error, errno, "cannot get random bytes");
	return 0;
}
