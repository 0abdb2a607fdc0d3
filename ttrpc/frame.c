/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame codec: see frame.h.  Layout, all integers big-endian
 * (containerd/ttrpc PROTOCOL.md "Message Frame"):
 *
 *	offset	size
 *	0	4	payload length, at most 4 MiB
 *	4	4	stream id
 *	8	1	type: 1 request, 2 response, 3 data
 *	9	1	flags
 *	10		payload
 *
 * The decoder never asks for bytes beyond the frame it is in, so that what
 * travels beside the bytes (descriptors) is known to belong to that frame.  Its
 * buffer grows with what has arrived, not with what a header promises.
 */
#include "ttrpc/frame.h"

#include <endian.h>
#include <string.h>

#include "base/checked.h"
#include "ttrpc/ttrpc.h"

#define READ_SIZE (64u << 10) /* one read of payload at most */
#define KEEP_SIZE (16u << 10) /* a larger buffer is not kept between frames */

void frame_header_encode(const struct frame_header *header, uint8_t ret_bytes[FRAME_HEADER_SIZE])
{
	uint32_t length = htobe32(header->length);
	uint32_t stream = htobe32(header->stream);

	memcpy(ret_bytes, &length, sizeof(length));
	memcpy(ret_bytes + 4, &stream, sizeof(stream));
	ret_bytes[8] = header->type;
	ret_bytes[9] = header->flags;
}

void frame_header_decode(const uint8_t bytes[FRAME_HEADER_SIZE], struct frame_header *ret_header)
{
	uint32_t length, stream;

	memcpy(&length, bytes, sizeof(length));
	memcpy(&stream, bytes + 4, sizeof(stream));
	*ret_header = (struct frame_header){ .length = be32toh(length),
					     .stream = be32toh(stream),
					     .type = bytes[8],
					     .flags = bytes[9] };
}

size_t frame_decoder_want(struct frame_decoder *decoder, uint8_t **ret_where)
{
	size_t size;

	if (decoder->n_header_bytes < FRAME_HEADER_SIZE) {
		*ret_where = decoder->header_bytes + decoder->n_header_bytes;
		return FRAME_HEADER_SIZE - decoder->n_header_bytes;
	}
	size = MIN(decoder->left, READ_SIZE);
	*ret_where = buffer_reserve(&decoder->payload, size);
	return size;
}

bool frame_decoder_advance(struct frame_decoder *decoder, size_t n)
{
	if (decoder->n_header_bytes < FRAME_HEADER_SIZE) {
		decoder->n_header_bytes += n;
		if (decoder->n_header_bytes < FRAME_HEADER_SIZE)
			return false;
		frame_header_decode(decoder->header_bytes, &decoder->header);
		decoder->left = decoder->header.length;
		return decoder->left == 0;
	}
	/* What is not committed is overwritten by the next read. */
	if (!frame_decoder_oversize(decoder))
		buffer_commit(&decoder->payload, n);
	decoder->left -= (uint32_t)n;
	return decoder->left == 0;
}

bool frame_decoder_oversize(const struct frame_decoder *decoder)
{
	return decoder->header.length > TTRPC_MESSAGE_MAX;
}

bool frame_decoder_at_boundary(const struct frame_decoder *decoder)
{
	return decoder->n_header_bytes == 0;
}

void frame_decoder_next(struct frame_decoder *decoder)
{
	decoder->n_header_bytes = 0;
	decoder->left = 0;
	decoder->header = (struct frame_header){ 0 };
	buffer_consume(&decoder->payload, buffer_length(&decoder->payload));
	if (decoder->payload.capacity > KEEP_SIZE)
		buffer_done(&decoder->payload);
}

void frame_decoder_done(struct frame_decoder *decoder)
{
	buffer_done(&decoder->payload);
}
