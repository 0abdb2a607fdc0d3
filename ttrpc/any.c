/* SPDX-License-Identifier: Apache-2.0 */
/* Any and Timestamp: see any.h. */
#include "ttrpc/any.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "ttrpc/message.h"

void any_pack(Task__Any *ret_any, const char *type, const ProtobufCMessage *message)
{
	Task__Any any = TASK__ANY__INIT;

	any.type_url = xstrdup(type);
	any.value.data = message_pack(message, &any.value.len);
	*ret_any = any;
}

void any_done(Task__Any *any)
{
	free(any->type_url);
	free(any->value.data);
	task__any__init(any);
}

bool any_is(const Task__Any *any, const char *type)
{
	size_t length, type_length = strlen(type);
	const char *end;

	if (!any)
		return false;
	length = strlen(any->type_url);
	if (length < type_length)
		return false;
	end = any->type_url + length - type_length;
	return strcmp(end, type) == 0 && (end == any->type_url || end[-1] == '/');
}

ProtobufCMessage *any_unpack(const Task__Any *any, const char *type,
			     const ProtobufCMessageDescriptor *descriptor)
{
	if (!any_is(any, type))
		return NULL;
	return message_unpack(descriptor, any->value.data, any->value.len, NULL);
}

void timestamp_init(Task__Timestamp *ret_timestamp, uint64_t realtime_ns)
{
	task__timestamp__init(ret_timestamp);
	ret_timestamp->seconds = (int64_t)(realtime_ns / 1000000000);
	ret_timestamp->nanos = (int32_t)(realtime_ns % 1000000000);
}
