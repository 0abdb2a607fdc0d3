/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded byte queue whose memory exists only while it holds something: pages
 * mapped at the first byte, given back after the last.
 */
#pragma once

#include <stdint.h>
#include <sys/uio.h>

struct byte_ring {
	uint8_t *bytes;	   /* NULL while empty */
	uint32_t capacity; /* a multiple of the page size */
	uint32_t start;
	uint32_t length;
};

/* size more bytes at the end, at most capacity - length; returns how many iovecs
 * (0..2; 0 when there is no memory) say where to put them. */
unsigned byte_ring_append(struct byte_ring *ring, uint32_t size, struct iovec ret_iov[2]);
/* All there is, as 0..2 iovecs. */
unsigned byte_ring_peek(const struct byte_ring *ring, struct iovec ret_iov[2]);
void byte_ring_consume(struct byte_ring *ring, uint32_t size); /* at most length */
void byte_ring_done(struct byte_ring *ring);		       /* drops all */
