/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded byte queue: see byte-ring.h. */
#include "virtio/byte-ring.h"

#include <stddef.h>
#include <sys/mman.h>

#include "base/checked.h"

static unsigned span(const struct byte_ring *ring, uint32_t from, uint32_t size,
		     struct iovec ret_iov[2])
{
	uint32_t first = MIN(size, ring->capacity - from);

	if (size == 0)
		return 0;
	ret_iov[0] = (struct iovec){ .iov_base = ring->bytes + from, .iov_len = first };
	if (first == size)
		return 1;
	ret_iov[1] = (struct iovec){ .iov_base = ring->bytes, .iov_len = size - first };
	return 2;
}

unsigned byte_ring_append(struct byte_ring *ring, uint32_t size, struct iovec ret_iov[2])
{
	unsigned n;

	if (!ring->bytes && size > 0) {
		void *bytes = mmap(NULL, ring->capacity, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (bytes == MAP_FAILED)
			return 0;
		ring->bytes = bytes;
	}
	n = span(ring, (ring->start + ring->length) % ring->capacity, size, ret_iov);
	ring->length += size;
	return n;
}

unsigned byte_ring_peek(const struct byte_ring *ring, struct iovec ret_iov[2])
{
	return span(ring, ring->start, ring->length, ret_iov);
}

void byte_ring_consume(struct byte_ring *ring, uint32_t size)
{
	ring->start = (ring->start + size) % ring->capacity;
	ring->length -= size;
	if (ring->length == 0)
		byte_ring_done(ring);
}

void byte_ring_done(struct byte_ring *ring)
{
	if (ring->bytes)
		(void)munmap(ring->bytes, ring->capacity);
	ring->bytes = NULL;
	ring->start = ring->length = 0;
}
