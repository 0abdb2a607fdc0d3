/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames on the wire: the header's codec, and a decoder that is told where the
 * bytes it wants next belong.  Pure: no socket, no loop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

#define FRAME_HEADER_SIZE 10

enum frame_type { FRAME_REQUEST = 1, FRAME_RESPONSE = 2, FRAME_DATA = 3 };

enum frame_flag {
	FRAME_REMOTE_CLOSED = 1, /* request, data: the sender sends no more data */
	FRAME_REMOTE_OPEN = 2,	 /* request: data frames follow */
	FRAME_NO_DATA = 4,	 /* data */
};

struct frame_header {
	uint32_t length; /* of the payload */
	uint32_t stream; /* odd: initiated by the client */
	uint8_t type;	 /* enum frame_type, or what a peer made up */
	uint8_t flags;	 /* enum frame_flag */
};

void frame_header_encode(const struct frame_header *header, uint8_t ret_bytes[FRAME_HEADER_SIZE]);
void frame_header_decode(const uint8_t bytes[FRAME_HEADER_SIZE], struct frame_header *ret_header);

/* Zero-initialised. */
struct frame_decoder {
	uint8_t header_bytes[FRAME_HEADER_SIZE];
	size_t n_header_bytes;
	struct frame_header header; /* once n_header_bytes is FRAME_HEADER_SIZE */
	struct buffer payload;	    /* stays empty for an oversize frame */
	uint32_t left;		    /* payload bytes still to come */
};

/* Where the next bytes go and how many fit there (at least 1, never beyond the
 * frame being read).  Not to be called while a frame is complete. */
size_t frame_decoder_want(struct frame_decoder *decoder, uint8_t **ret_where);
/* n bytes have been put there.  True when that completes the frame: header and
 * payload may be looked at until frame_decoder_next(). */
bool frame_decoder_advance(struct frame_decoder *decoder, size_t n);
/* The frame is longer than TTRPC_MESSAGE_MAX: its payload was dropped. */
bool frame_decoder_oversize(const struct frame_decoder *decoder);
/* Nothing of the next frame has been read. */
bool frame_decoder_at_boundary(const struct frame_decoder *decoder);
void frame_decoder_next(struct frame_decoder *decoder);
void frame_decoder_done(struct frame_decoder *decoder);
