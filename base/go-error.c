/* SPDX-License-Identifier: Apache-2.0 */
/* Error texts that callers parse: see go-error.h. */
#include "base/go-error.h"

#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"

int error_set_go(struct error **ret_error, int code, const char *format, ...)
{
	_cleanup_free_ char *what = NULL;
	_cleanup_free_ char *why = xstrdup(strerror(code));
	va_list args;

	va_start(args, format);
	what = xvasprintf(format, args);
	va_end(args);
	/* Go's table is the C library's, in lower case. */
	if (why[0] >= 'A' && why[0] <= 'Z' && why[1] >= 'a')
		why[0] = (char)(why[0] + ('a' - 'A'));
	return error_set(ret_error, code, "%s: %s", what, why);
}
