/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation that cannot fail: running out of memory for a small object ends
 * the process with a message.  Never call these with a size that a peer or a
 * guest chose without checking it against a cap first.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
/* As realloc(), count * size checked for overflow. */
void *xreallocarray(void *pointer, size_t count, size_t size);
char *xstrdup(const char *string); /* xstrdup(NULL) is NULL */
char *xstrndup(const char *string, size_t length);
void *xmemdup(const void *bytes, size_t size);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

/* A NULL-terminated vector of strings, all owned. NULL is an empty vector. */
size_t strv_length(char *const *strv);
/* Appends a copy of string; *strv may be NULL. */
void strv_append(char ***strv, const char *string);
/* "a b c"; caller frees. */
char *strv_join(char *const *strv, const char *separator);
void strv_free(char **strv);
static inline void strv_freep(char ***strv)
{
	strv_free(*strv);
}
#define _cleanup_strv_ __attribute__((cleanup(strv_freep)))
