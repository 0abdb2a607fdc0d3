/* SPDX-License-Identifier: Apache-2.0 */
/* google.protobuf.Any and Timestamp as the Task API uses them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "protocol/task.pb-c.h"

/* Packs message into *ret_any with the bare type name as its URL (containerd's
 * way, no host part).  any_done() frees both members. */
void any_pack(Task__Any *ret_any, const char *type, const ProtobufCMessage *message);
void any_done(Task__Any *any);

/* Is it of this type?  A host part before a '/' is not looked at.  NULL is of
 * no type. */
bool any_is(const Task__Any *any, const char *type);
/* Its message if it is of this type and sound, else NULL; freed with
 * protobuf_c_message_free_unpacked(…, NULL). */
ProtobufCMessage *any_unpack(const Task__Any *any, const char *type,
			     const ProtobufCMessageDescriptor *descriptor);
static inline void any_message_freep(ProtobufCMessage **message)
{
	protobuf_c_message_free_unpacked(*message, NULL);
}

void timestamp_init(Task__Timestamp *ret_timestamp, uint64_t realtime_ns);
