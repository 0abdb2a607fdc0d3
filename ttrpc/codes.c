/* SPDX-License-Identifier: Apache-2.0 */
/* Between errno values and google.rpc codes: see ttrpc.h. */
#include <errno.h>

#include "base/cleanup.h"
#include "ttrpc/ttrpc.h"

/* The first errno of a code is the one it turns back into. */
static const struct {
	int code;
	enum ttrpc_code ttrpc;
} codes[] = {
	{ ENOENT, TTRPC_NOT_FOUND },	    { EEXIST, TTRPC_ALREADY_EXISTS },
	{ EINVAL, TTRPC_INVALID_ARGUMENT }, { EBUSY, TTRPC_FAILED_PRECONDITION },
	{ ENOSYS, TTRPC_UNIMPLEMENTED },    { ETIMEDOUT, TTRPC_DEADLINE_EXCEEDED },
	{ EPERM, TTRPC_PERMISSION_DENIED }, { EACCES, TTRPC_PERMISSION_DENIED },
	{ ECONNRESET, TTRPC_UNAVAILABLE },
};

enum ttrpc_code ttrpc_code_of_errno(int code)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (codes[i].code == code)
			return codes[i].ttrpc;
	return TTRPC_UNKNOWN;
}

int ttrpc_errno_of_code(int32_t code)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if ((int32_t)codes[i].ttrpc == code)
			return codes[i].code;
	return EIO;
}
