/* SPDX-License-Identifier: Apache-2.0 */
/* Messages in bytes and out: see message.h. */
#include "ttrpc/message.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/plain.h"
#include "protocol/ttrpc.pb-c.h"

#define CHUNK_OVERHEAD 16	/* about what malloc() adds to a chunk */
#define ERROR_MESSAGE_MAX 16384 /* of a server's error text, that is kept */

struct budget {
	size_t left;
};

static void *budget_alloc(void *data, size_t size)
{
	struct budget *budget = data;
	size_t cost;

	if (checked_add(size, CHUNK_OVERHEAD, &cost) || cost > budget->left)
		return NULL;
	budget->left -= cost;
	return malloc(size);
}

static void budget_free(void *data, void *pointer)
{
	(void)data;
	free(pointer);
}

ProtobufCMessage *message_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
				 size_t size, size_t *ret_memory)
{
	struct budget budget = { .left = MESSAGE_MEMORY_MAX };
	ProtobufCAllocator allocator = { .alloc = budget_alloc,
					 .free = budget_free,
					 .allocator_data = &budget };
	ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, &allocator, size, bytes);

	if (message && ret_memory)
		*ret_memory = MESSAGE_MEMORY_MAX - budget.left;
	return message;
}

uint8_t *message_pack(const ProtobufCMessage *message, size_t *ret_size)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	uint8_t *bytes = xmalloc(size + 1);

	*ret_size = protobuf_c_message_pack(message, bytes);
	return bytes;
}

/* Bytes of the UTF-8 sequence at text (RFC 3629 §4), 0 if there is none. */
static size_t utf8_length(const unsigned char *text)
{
	unsigned char low = 0x80, high = 0xbf; /* of the second byte */
	size_t length;

	if (text[0] < 0x80)
		return 1;
	if (text[0] < 0xc2 || text[0] > 0xf4)
		return 0;
	length = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
	if (text[0] == 0xe0)
		low = 0xa0;
	else if (text[0] == 0xed)
		high = 0x9f;
	else if (text[0] == 0xf0)
		low = 0x90;
	else if (text[0] == 0xf4)
		high = 0x8f;
	if (text[1] < low || text[1] > high)
		return 0;
	/* Stops at the NUL, which is not a continuation byte. */
	for (size_t i = 2; i < length; i++)
		if (text[i] < 0x80 || text[i] > 0xbf)
			return 0;
	return length;
}

void message_make_utf8(char *text)
{
	while (*text) {
		size_t length = utf8_length((const unsigned char *)text);

		if (length == 0)
			*text = '?';
		text += length > 0 ? length : 1;
	}
}

struct metadata {
	Ttrpc__KeyValue **entries;
	size_t n_entries;
};

void metadata_add(struct metadata **list, const char *key, const char *value)
{
	Ttrpc__KeyValue *entry = xcalloc(1, sizeof(*entry));

	if (!*list)
		*list = xcalloc(1, sizeof(**list));
	ttrpc__key_value__init(entry);
	entry->key = xstrdup(key);
	entry->value = xstrdup(value);
	(*list)->entries = xreallocarray((*list)->entries, (*list)->n_entries + 1, sizeof(entry));
	(*list)->entries[(*list)->n_entries++] = entry;
}

void metadata_free(struct metadata *list)
{
	if (!list)
		return;
	for (size_t i = 0; i < list->n_entries; i++) {
		free(list->entries[i]->key);
		free(list->entries[i]->value);
		free(list->entries[i]);
	}
	free(list->entries);
	free(list);
}

int message_pack_request(const struct ttrpc_request *request, const struct metadata *metadata,
			 uint8_t **ret_bytes, size_t *ret_size, struct error **ret_error)
{
	Ttrpc__Request envelope = TTRPC__REQUEST__INIT;
	_cleanup_free_ uint8_t *payload = message_pack(request->message, &envelope.payload.len);
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;

	envelope.service = (char *)request->service;
	envelope.method = (char *)request->method;
	envelope.payload.data = payload;
	if (checked_mul(request->timeout_ms, 1000000, &envelope.timeout_nano))
		envelope.timeout_nano = INT64_MAX;
	if (metadata) {
		envelope.metadata = metadata->entries;
		envelope.n_metadata = metadata->n_entries;
	}
	bytes = message_pack(&envelope.base, &size);
	if (size > TTRPC_MESSAGE_MAX)
		return error_set(ret_error, EMSGSIZE, "the request of %s/%s is %zu bytes, above %u",
				 request->service, request->method, size, TTRPC_MESSAGE_MAX);
	*ret_bytes = TAKE_PTR(bytes);
	*ret_size = size;
	return 0;
}

int message_unpack_response(const uint8_t *bytes, size_t size,
			    const ProtobufCMessageDescriptor *descriptor,
			    ProtobufCMessage **ret_response, struct error **ret_error)
{
	_cleanup_message_ ProtobufCMessage *message =
	    message_unpack(&ttrpc__response__descriptor, bytes, size, NULL);
	Ttrpc__Response *envelope = (Ttrpc__Response *)message;
	ProtobufCMessage *response;

	if (!envelope)
		return error_set(ret_error, EPROTO, "the server's answer is not a ttrpc response");
	if (envelope->status && envelope->status->code != TTRPC_OK) {
		char *text = envelope->status->message;
		int code = ttrpc_errno_of_code(envelope->status->code);

		if (*text == '\0')
			return error_set(ret_error, code, "the server answered code %" PRId32,
					 envelope->status->code);
		/* It may be a guest's, and goes as far as somebody's terminal. */
		plain_text(text);
		return error_set(ret_error, code, "%.*s", ERROR_MESSAGE_MAX, text);
	}
	response = message_unpack(descriptor, envelope->payload.data, envelope->payload.len, NULL);
	if (!response)
		return error_set(ret_error, EPROTO, "the server's answer is not a %s",
				 descriptor->name);
	*ret_response = response;
	return 0;
}
