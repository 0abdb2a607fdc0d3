/* SPDX-License-Identifier: Apache-2.0 */
/* A growable byte queue: see buffer.h. */
#include "base/buffer.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

uint8_t *buffer_reserve(struct buffer *buffer, size_t size)
{
	size_t length = buffer_length(buffer);

	if (buffer->capacity - buffer->end >= size)
		return buffer->bytes + buffer->end;
	if (buffer->start > 0) {
		memmove(buffer->bytes, buffer->bytes + buffer->start, length);
		buffer->start = 0;
		buffer->end = length;
	}
	if (buffer->capacity - length < size) {
		size_t capacity = buffer->capacity ? buffer->capacity : 256;

		while (capacity - length < size)
			capacity *= 2;
		buffer->bytes = xreallocarray(buffer->bytes, capacity, 1);
		buffer->capacity = capacity;
	}
	return buffer->bytes + buffer->end;
}

void buffer_commit(struct buffer *buffer, size_t size)
{
	buffer->end += size;
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t size)
{
	if (size == 0)
		return;
	memcpy(buffer_reserve(buffer, size), bytes, size);
	buffer_commit(buffer, size);
}

void buffer_append_line(struct buffer *buffer, const char *text)
{
	buffer_append(buffer, text, strlen(text));
	buffer_append(buffer, "\n", 1);
}

void buffer_consume(struct buffer *buffer, size_t size)
{
	buffer->start += size;
	if (buffer->start == buffer->end)
		buffer->start = buffer->end = 0;
}

void buffer_done(struct buffer *buffer)
{
	free(buffer->bytes);
	*buffer = (struct buffer){ 0 };
}
