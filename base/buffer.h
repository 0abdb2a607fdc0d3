/* SPDX-License-Identifier: Apache-2.0 */
/* A growable byte queue: append at the end, consume from the front. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buffer {
	uint8_t *bytes;
	size_t start; /* first byte not yet consumed */
	size_t end;   /* one past the last byte */
	size_t capacity;
};

static inline size_t buffer_length(const struct buffer *buffer)
{
	return buffer->end - buffer->start;
}

static inline uint8_t *buffer_data(const struct buffer *buffer)
{
	/* (NULL + 0 is undefined.) */
	return buffer->bytes ? buffer->bytes + buffer->start : NULL;
}

/* Room for `size` more bytes; returns where they go.  Follow with
 * buffer_commit().  The caller caps the size. */
uint8_t *buffer_reserve(struct buffer *buffer, size_t size);
void buffer_commit(struct buffer *buffer, size_t size);
void buffer_append(struct buffer *buffer, const void *bytes, size_t size);
/* The text, and a newline. */
void buffer_append_line(struct buffer *buffer, const char *text);
void buffer_consume(struct buffer *buffer, size_t size); /* size <= buffer_length() */
void buffer_done(struct buffer *buffer);		 /* frees; the buffer is empty then */
