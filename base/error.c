/* SPDX-License-Identifier: Apache-2.0 */
/* The error object: see error.h for the convention. */
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static void store(struct error **ret_error, int code, char *message)
{
	struct error *error = xcalloc(1, sizeof(*error));

	error->code = code;
	error->message = message;
	*ret_error = error;
}

int error_set(struct error **ret_error, int code, const char *format, ...)
{
	va_list args;

	if (!ret_error)
		return -1;
	va_start(args, format);
	store(ret_error, code, xvasprintf(format, args));
	va_end(args);
	return -1;
}

int error_set_errno(struct error **ret_error, int code, const char *format, ...)
{
	_cleanup_free_ char *what = NULL;
	va_list args;

	if (!ret_error)
		return -1;
	va_start(args, format);
	what = xvasprintf(format, args);
	va_end(args);
	store(ret_error, code, xasprintf("%s: %s", what, strerror(code)));
	return -1;
}

int error_wrap(struct error **error, const char *format, ...)
{
	_cleanup_free_ char *context = NULL;
	char *message;
	va_list args;

	if (!error || !*error)
		return -1;
	va_start(args, format);
	context = xvasprintf(format, args);
	va_end(args);
	message = xasprintf("%s: %s", context, (*error)->message);
	free((*error)->message);
	(*error)->message = message;
	return -1;
}

void error_free(struct error *error)
{
	if (!error)
		return;
	free(error->message);
	free(error);
}
