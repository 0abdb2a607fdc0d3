/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protobuf messages in bytes and out, and the envelopes of a call.  A sender
 * can make a few bytes unpack into many times their size (empty sub-messages,
 * unknown fields), so unpacking has a budget.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "ttrpc/ttrpc.h"

/* What one message may take in memory when unpacked. */
#define MESSAGE_MEMORY_MAX (4 * (size_t)TTRPC_MESSAGE_MAX)

/* The packed message; never NULL; caller frees. */
uint8_t *message_pack(const ProtobufCMessage *message, size_t *ret_size);

/* NULL when the bytes are no such message or one that would take more than
 * MESSAGE_MEMORY_MAX.  Free with protobuf_c_message_free_unpacked(…, NULL).
 * *ret_memory (may be NULL) is about what it takes. */
ProtobufCMessage *message_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
				 size_t size, size_t *ret_memory);

/* Puts '?' for each byte that makes the text no UTF-8: proto3 strings are, and a
 * Go peer refuses the whole message for one stray byte (of a path, say). */
void message_make_utf8(char *text);

static inline void message_freep(ProtobufCMessage **message)
{
	protobuf_c_message_free_unpacked(*message, NULL);
}
#define _cleanup_message_ _cleanup_(message_freep)

/* ---- the client's two halves of a call, the same for both clients ---- */

struct metadata; /* a list of keys and values */
void metadata_add(struct metadata **list, const char *key, const char *value);
void metadata_free(struct metadata *list);

/* The packed ttrpc.Request, caller frees; EMSGSIZE when it is longer than
 * TTRPC_MESSAGE_MAX. */
int message_pack_request(const struct ttrpc_request *request, const struct metadata *metadata,
			 uint8_t **ret_bytes, size_t *ret_size, struct error **ret_error);
/* What a ttrpc.Response holds: the unpacked message, or the server's error. */
int message_unpack_response(const uint8_t *bytes, size_t size,
			    const ProtobufCMessageDescriptor *descriptor,
			    ProtobufCMessage **ret_response, struct error **ret_error);
