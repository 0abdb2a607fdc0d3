/* SPDX-License-Identifier: Apache-2.0 */
/* AML: see aml.h.  All integers are little-endian, as this processor's are. */
#include "vmm/x86_64/aml.h"

#include <string.h>

/* ACPI 6.5 §20.3: opcodes */
#define OP_NAME 0x08
#define OP_BYTE 0x0a
#define OP_DWORD 0x0c
#define OP_STRING 0x0d
#define OP_SCOPE 0x10
#define OP_BUFFER 0x11
#define OP_PACKAGE 0x12
#define OP_METHOD 0x14
#define OP_EXTENDED 0x5b
#define OP_EXTENDED_REGION 0x80
#define OP_EXTENDED_FIELD 0x81
#define OP_EXTENDED_DEVICE 0x82
#define OP_ARG0 0x68
#define OP_STORE 0x70
#define OP_NOTIFY 0x86
#define OP_NOT 0x92
#define OP_EQUAL 0x93
#define OP_GREATER 0x94
#define OP_IF 0xa0
#define OP_RETURN 0xa4
#define REGION_SYSTEM_IO 1
#define FIELD_BYTES 1 /* each access; no lock */
#define METHOD_SERIALIZED 0x08

/* A PkgLength of three bytes always: 20 bits, patched in when the block ends. */
#define PACKAGE_LENGTH_SIZE 3
#define PACKAGE_LENGTH_LEAD 0x80
#define BUFFER_SIZE_SIZE 5 /* of a resource template: DWordConst */

static void put_byte(struct buffer *aml, uint8_t byte)
{
	buffer_append(aml, &byte, 1);
}

static void put_segment(struct buffer *aml, const char *segment)
{
	buffer_append(aml, segment, 4);
}

static void put_dword(struct buffer *aml, uint32_t value)
{
	put_byte(aml, OP_DWORD);
	buffer_append(aml, &value, sizeof(value));
}

static size_t block_begin(struct buffer *aml)
{
	static const uint8_t room[PACKAGE_LENGTH_SIZE];
	size_t mark = buffer_length(aml);

	buffer_append(aml, room, sizeof(room));
	return mark;
}

void aml_end(struct buffer *aml, size_t mark)
{
	size_t length = buffer_length(aml) - mark;
	uint8_t *at = buffer_data(aml) + mark;

	at[0] = (uint8_t)(PACKAGE_LENGTH_LEAD | (length & 0x0f));
	at[1] = (uint8_t)(length >> 4);
	at[2] = (uint8_t)(length >> 12);
}

size_t aml_scope_begin(struct buffer *aml, const char *segment)
{
	size_t mark;

	put_byte(aml, OP_SCOPE);
	mark = block_begin(aml);
	put_segment(aml, segment);
	return mark;
}

size_t aml_device_begin(struct buffer *aml, const char *segment)
{
	size_t mark;

	put_byte(aml, OP_EXTENDED);
	put_byte(aml, OP_EXTENDED_DEVICE);
	mark = block_begin(aml);
	put_segment(aml, segment);
	return mark;
}

size_t aml_method_begin(struct buffer *aml, const char *segment, uint8_t n_arguments)
{
	size_t mark;

	put_byte(aml, OP_METHOD);
	mark = block_begin(aml);
	put_segment(aml, segment);
	put_byte(aml, n_arguments | METHOD_SERIALIZED);
	return mark;
}

static size_t if_begin(struct buffer *aml)
{
	put_byte(aml, OP_IF);
	return block_begin(aml);
}

size_t aml_if_argument_is(struct buffer *aml, uint32_t value)
{
	const size_t mark = if_begin(aml);

	put_byte(aml, OP_EQUAL);
	put_byte(aml, OP_ARG0);
	aml_integer(aml, value);
	return mark;
}

static void put_above(struct buffer *aml, const char *segment, uint32_t value)
{
	put_byte(aml, OP_GREATER);
	put_segment(aml, segment);
	aml_integer(aml, value);
}

size_t aml_if_above(struct buffer *aml, const char *segment, uint32_t value)
{
	const size_t mark = if_begin(aml);

	put_above(aml, segment, value);
	return mark;
}

size_t aml_if_not_above(struct buffer *aml, const char *segment, uint32_t value)
{
	const size_t mark = if_begin(aml);

	put_byte(aml, OP_NOT);
	put_above(aml, segment, value);
	return mark;
}

void aml_return(struct buffer *aml, uint32_t value)
{
	put_byte(aml, OP_RETURN);
	aml_integer(aml, value);
}

void aml_call(struct buffer *aml, const char *segment)
{
	put_segment(aml, segment);
}

void aml_store(struct buffer *aml, const char *source, const char *target)
{
	put_byte(aml, OP_STORE);
	put_segment(aml, source);
	put_segment(aml, target);
}

void aml_notify(struct buffer *aml, const char *segment, uint8_t value)
{
	put_byte(aml, OP_NOTIFY);
	put_segment(aml, segment);
	put_byte(aml, OP_BYTE);
	put_byte(aml, value);
}

static void put_name(struct buffer *aml, const char *segment)
{
	put_byte(aml, OP_NAME);
	put_segment(aml, segment);
}

size_t aml_package_begin(struct buffer *aml, const char *segment, uint8_t count)
{
	size_t mark;

	put_name(aml, segment);
	put_byte(aml, OP_PACKAGE);
	mark = block_begin(aml);
	put_byte(aml, count);
	return mark;
}

size_t aml_resources_begin(struct buffer *aml, const char *segment)
{
	size_t mark;

	put_name(aml, segment);
	put_byte(aml, OP_BUFFER);
	mark = block_begin(aml);
	put_dword(aml, 0);
	return mark;
}

void aml_resources_end(struct buffer *aml, size_t mark)
{
	static const uint8_t end_tag[] = { 0x79, 0 }; /* checksum 0: none */
	size_t start = mark + PACKAGE_LENGTH_SIZE;
	uint32_t size;

	buffer_append(aml, end_tag, sizeof(end_tag));
	size = (uint32_t)(buffer_length(aml) - start - BUFFER_SIZE_SIZE);
	(void)memcpy(buffer_data(aml) + start + 1, &size, sizeof(size));
	aml_end(aml, mark);
}

void aml_integer(struct buffer *aml, uint32_t value)
{
	if (value > UINT8_MAX) {
		put_dword(aml, value);
		return;
	}
	put_byte(aml, OP_BYTE);
	put_byte(aml, (uint8_t)value);
}

void aml_name_integer(struct buffer *aml, const char *segment, uint32_t value)
{
	put_name(aml, segment);
	aml_integer(aml, value);
}

void aml_name_bytes(struct buffer *aml, const char *segment, const void *bytes, uint8_t size)
{
	size_t mark;

	put_name(aml, segment);
	put_byte(aml, OP_BUFFER);
	mark = block_begin(aml);
	aml_integer(aml, size);
	buffer_append(aml, bytes, size);
	aml_end(aml, mark);
}

void aml_port(struct buffer *aml, const char *region, const char *field, uint16_t port)
{
	size_t mark;

	put_byte(aml, OP_EXTENDED);
	put_byte(aml, OP_EXTENDED_REGION);
	put_segment(aml, region);
	put_byte(aml, REGION_SYSTEM_IO);
	aml_integer(aml, port);
	aml_integer(aml, 1);
	put_byte(aml, OP_EXTENDED);
	put_byte(aml, OP_EXTENDED_FIELD);
	mark = block_begin(aml);
	put_segment(aml, region);
	put_byte(aml, FIELD_BYTES);
	put_segment(aml, field);
	put_byte(aml, 8); /* bits */
	aml_end(aml, mark);
}

void aml_name_string(struct buffer *aml, const char *segment, const char *string)
{
	put_name(aml, segment);
	put_byte(aml, OP_STRING);
	buffer_append(aml, string, strlen(string) + 1);
}

void aml_memory32_fixed(struct buffer *aml, uint32_t base, uint32_t size)
{
	static const uint8_t head[] = { 0x86, 9, 0, 1 /* writable */ };

	buffer_append(aml, head, sizeof(head));
	buffer_append(aml, &base, sizeof(base));
	buffer_append(aml, &size, sizeof(size));
}

/* ACPI 6.5 §6.4.3.6 */
static void put_interrupt(struct buffer *aml, uint8_t flags, uint32_t gsi)
{
	const uint8_t head[] = { 0x89, 6, 0, flags, 1 };

	buffer_append(aml, head, sizeof(head));
	buffer_append(aml, &gsi, sizeof(gsi));
}

void aml_interrupt_edge(struct buffer *aml, uint32_t gsi)
{
	put_interrupt(aml, 11 /* consumer, edge, shared */, gsi);
}

void aml_interrupt_level(struct buffer *aml, uint32_t gsi)
{
	put_interrupt(aml, 1 /* consumer, level */, gsi);
}

void aml_io16(struct buffer *aml, uint16_t port, uint8_t size)
{
	static const uint8_t head[] = { 0x47, 1 /* 16 bits decoded */ };

	buffer_append(aml, head, sizeof(head));
	buffer_append(aml, &port, sizeof(port));
	buffer_append(aml, &port, sizeof(port));
	put_byte(aml, 1); /* alignment */
	put_byte(aml, size);
}
