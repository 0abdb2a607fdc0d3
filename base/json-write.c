/* SPDX-License-Identifier: Apache-2.0 */
/* Writing JSON: see json.h. */
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_gen.h>

#include "base/alloc.h"
#include "base/json.h"

struct json_writer {
	yajl_gen gen;
};

struct json_writer *json_writer_new(bool pretty)
{
	struct json_writer *writer = xcalloc(1, sizeof(*writer));

	writer->gen = yajl_gen_alloc(NULL);
	if (!writer->gen)
		abort();
	(void)yajl_gen_config(writer->gen, yajl_gen_beautify, (int)pretty);
	(void)yajl_gen_config(writer->gen, yajl_gen_indent_string, "  ");
	return writer;
}

static void put_text(struct json_writer *writer, const char *text)
{
	(void)yajl_gen_string(writer->gen, (const unsigned char *)text, strlen(text));
}

void json_put_key(struct json_writer *writer, const char *key)
{
	if (key)
		put_text(writer, key);
}

void json_put_string(struct json_writer *writer, const char *key, const char *string)
{
	json_put_key(writer, key);
	if (string)
		put_text(writer, string);
	else
		(void)yajl_gen_null(writer->gen);
}

void json_put_bool(struct json_writer *writer, const char *key, bool value)
{
	json_put_key(writer, key);
	(void)yajl_gen_bool(writer->gen, value);
}

void json_put_int64(struct json_writer *writer, const char *key, int64_t value)
{
	json_put_key(writer, key);
	(void)yajl_gen_integer(writer->gen, value);
}

static void put_number(struct json_writer *writer, const char *text)
{
	(void)yajl_gen_number(writer->gen, text, strlen(text));
}

void json_put_uint64(struct json_writer *writer, const char *key, uint64_t value)
{
	_cleanup_free_ char *text = xasprintf("%llu", (unsigned long long)value);

	json_put_key(writer, key);
	put_number(writer, text);
}

void json_put_strv(struct json_writer *writer, const char *key, char *const *strv)
{
	json_put_key(writer, key);
	json_begin_array(writer);
	for (size_t i = 0; strv && strv[i]; i++)
		put_text(writer, strv[i]);
	json_end_array(writer);
}

void json_put_value(struct json_writer *writer, const char *key, yajl_val value)
{
	json_put_key(writer, key);
	if (YAJL_IS_STRING(value)) {
		put_text(writer, YAJL_GET_STRING(value));
	} else if (YAJL_IS_NUMBER(value)) {
		put_number(writer, YAJL_GET_NUMBER(value));
	} else if (YAJL_IS_OBJECT(value)) {
		json_begin_object(writer);
		for (size_t i = 0; i < value->u.object.len; i++)
			json_put_value(writer, value->u.object.keys[i], value->u.object.values[i]);
		json_end_object(writer);
	} else if (YAJL_IS_ARRAY(value)) {
		json_begin_array(writer);
		for (size_t i = 0; i < value->u.array.len; i++)
			json_put_value(writer, NULL, value->u.array.values[i]);
		json_end_array(writer);
	} else if (YAJL_IS_TRUE(value) || YAJL_IS_FALSE(value)) {
		(void)yajl_gen_bool(writer->gen, YAJL_IS_TRUE(value));
	} else {
		(void)yajl_gen_null(writer->gen);
	}
}

void json_begin_object(struct json_writer *writer)
{
	(void)yajl_gen_map_open(writer->gen);
}

void json_end_object(struct json_writer *writer)
{
	(void)yajl_gen_map_close(writer->gen);
}

void json_begin_array(struct json_writer *writer)
{
	(void)yajl_gen_array_open(writer->gen);
}

void json_end_array(struct json_writer *writer)
{
	(void)yajl_gen_array_close(writer->gen);
}

char *json_writer_finish(struct json_writer *writer, size_t *ret_size)
{
	const unsigned char *text = NULL;
	size_t size = 0;
	char *copy;

	(void)yajl_gen_get_buf(writer->gen, &text, &size);
	/* (Of a text that was given up before its first word there is none.) */
	copy = xstrndup(text ? (const char *)text : "", size);
	if (ret_size)
		*ret_size = size;
	yajl_gen_free(writer->gen);
	free(writer);
	return copy;
}
