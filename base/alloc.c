/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that cannot fail: see alloc.h. */
#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *check(void *pointer)
{
	if (!pointer) {
		(void)fputs("out of memory\n", stderr);
		abort();
	}
	return pointer;
}

void *xmalloc(size_t size)
{
	return check(malloc(size ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
	return check(calloc(count ? count : 1, size ? size : 1));
}

void *xreallocarray(void *pointer, size_t count, size_t size)
{
	return check(reallocarray(pointer, count ? count : 1, size ? size : 1));
}

char *xstrdup(const char *string)
{
	return string ? check(strdup(string)) : NULL;
}

char *xstrndup(const char *string, size_t length)
{
	return check(strndup(string, length));
}

void *xmemdup(const void *bytes, size_t size)
{
	void *copy = xmalloc(size);

	if (size > 0)
		memcpy(copy, bytes, size);
	return copy;
}

char *xasprintf(const char *format, ...)
{
	va_list args;
	char *string;

	va_start(args, format);
	string = xvasprintf(format, args);
	va_end(args);
	return string;
}

char *xvasprintf(const char *format, va_list args)
{
	char *string = NULL;

	if (vasprintf(&string, format, args) < 0)
		string = NULL;
	return check(string);
}

size_t strv_length(char *const *strv)
{
	size_t n = 0;

	while (strv && strv[n])
		n++;
	return n;
}

void strv_append(char ***strv, const char *string)
{
	size_t n = strv_length(*strv);

	*strv = xreallocarray(*strv, n + 2, sizeof(**strv));
	(*strv)[n] = xstrdup(string);
	(*strv)[n + 1] = NULL;
}

char *strv_join(char *const *strv, const char *separator)
{
	char *joined = xstrdup("");

	for (size_t i = 0; strv && strv[i]; i++) {
		char *longer = xasprintf("%s%s%s", joined, i > 0 ? separator : "", strv[i]);

		free(joined);
		joined = longer;
	}
	return joined;
}

void strv_free(char **strv)
{
	for (size_t i = 0; strv && strv[i]; i++)
		free(strv[i]);
	free(strv);
}
