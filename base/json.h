/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON through yajl: reading with the path of every complaint, and writing.
 *
 * A reader holds a `struct json_at`: a value and how one got there, chained on
 * the caller's stack, so that an error can say "process.rlimits[2].type".  A
 * parent must outlive its children.  Absent members and null are the same.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yajl/yajl_tree.h>

#include "base/error.h"

/* ---- reading ---- */

struct json_at {
	const struct json_at *parent; /* NULL at the root */
	const char *key;	      /* member name, or NULL for an array element */
	size_t index;		      /* array element */
	yajl_val value;		      /* NULL when absent */
};

enum json_need { JSON_OPTIONAL, JSON_REQUIRED };

/* Deep enough for any real document, and less than yajl's writer takes (128). */
#define JSON_DEPTH_MAX 100

/* Parses text (size bytes, no NUL needed after them).  Free with json_free().
 * `name` is for messages. */
int json_parse(const char *text, size_t size, const char *name, yajl_val *ret_value,
	       struct error **ret_error);
void json_free(yajl_val value);
static inline void json_freep(yajl_val *value)
{
	json_free(*value);
}
#define _cleanup_json_ _cleanup_(json_freep)

struct json_at json_root(yajl_val value);
bool json_present(const struct json_at *at);
/* An error at this place: "PATH: message"; returns -1. */
int json_error(const struct json_at *at, struct error **ret_error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The member `key` of an object, of any type.  Not an object, or absent and
 * required: an error. */
int json_member(const struct json_at *object, const char *key, enum json_need need,
		struct json_at *ret_at, struct error **ret_error);
/* As json_member(), which must then be an object or an array if present. */
int json_object(const struct json_at *object, const char *key, enum json_need need,
		struct json_at *ret_at, struct error **ret_error);
int json_array(const struct json_at *object, const char *key, enum json_need need,
	       struct json_at *ret_at, struct error **ret_error);
/* Elements of an array, members of an object; 0 when absent. */
size_t json_length(const struct json_at *at);
struct json_at json_element(const struct json_at *array, size_t index);
/* The index-th member of an object; its key is at ret.key. */
struct json_at json_member_at(const struct json_at *object, size_t index);

/* Scalars at a place that must be present.  Strings are copied (caller frees)
 * and hold no NUL byte. */
int json_as_object(const struct json_at *at, struct error **ret_error);
int json_as_string(const struct json_at *at, char **ret_string, struct error **ret_error);
int json_as_bool(const struct json_at *at, bool *ret_bool, struct error **ret_error);
int json_as_int64(const struct json_at *at, int64_t min, int64_t max, int64_t *ret_value,
		  struct error **ret_error);
int json_as_uint64(const struct json_at *at, uint64_t max, uint64_t *ret_value,
		   struct error **ret_error);

/* Members.  When absent and optional, the output is untouched. */
int json_get_string(const struct json_at *object, const char *key, enum json_need need,
		    char **ret_string, struct error **ret_error);
int json_get_bool(const struct json_at *object, const char *key, enum json_need need,
		  bool *ret_bool, struct error **ret_error);
int json_get_int64(const struct json_at *object, const char *key, enum json_need need, int64_t min,
		   int64_t max, int64_t *ret_value, struct error **ret_error);
int json_get_uint64(const struct json_at *object, const char *key, enum json_need need,
		    uint64_t max, uint64_t *ret_value, struct error **ret_error);
int json_get_uint32(const struct json_at *object, const char *key, enum json_need need,
		    uint32_t *ret_value, struct error **ret_error);
/* An array of strings as a NULL-terminated vector (strv_free()). */
int json_get_strv(const struct json_at *object, const char *key, enum json_need need,
		  char ***ret_strv, struct error **ret_error);

/* ---- writing ---- */

struct json_writer;

struct json_writer *json_writer_new(bool pretty);
/* Inside an array, pass key NULL.  A NULL string is written as null. */
void json_put_string(struct json_writer *writer, const char *key, const char *string);
void json_put_bool(struct json_writer *writer, const char *key, bool value);
void json_put_int64(struct json_writer *writer, const char *key, int64_t value);
void json_put_uint64(struct json_writer *writer, const char *key, uint64_t value);
/* A NULL-terminated vector as an array of strings. */
void json_put_strv(struct json_writer *writer, const char *key, char *const *strv);
/* Any parsed value, as it is. */
void json_put_value(struct json_writer *writer, const char *key, yajl_val value);
void json_put_key(struct json_writer *writer, const char *key);
void json_begin_object(struct json_writer *writer);
void json_end_object(struct json_writer *writer);
void json_begin_array(struct json_writer *writer);
void json_end_array(struct json_writer *writer);
/* The text, NUL-terminated, caller frees; frees the writer. */
char *json_writer_finish(struct json_writer *writer, size_t *ret_size);
