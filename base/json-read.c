/* SPDX-License-Identifier: Apache-2.0 */
/* Reading JSON with paths: see json.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"

static const char *type_name(yajl_val value)
{
	if (!value || YAJL_IS_NULL(value))
		return "null";
	if (YAJL_IS_STRING(value))
		return "a string";
	if (YAJL_IS_NUMBER(value))
		return "a number";
	if (YAJL_IS_OBJECT(value))
		return "an object";
	if (YAJL_IS_ARRAY(value))
		return "an array";
	return "a boolean";
}

/*
 * yajl's parser keeps its own stack, but freeing and walking the tree recurse:
 * a document of brackets alone would overflow ours.  A string with an escaped
 * NUL would be cut short silently.  Both are refused before yajl sees them;
 * text that is not JSON at all may pass here, and fails there.
 */
static int check_shape(const char *text, size_t size, const char *name, struct error **ret_error)
{
	size_t depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < size; i++) {
		char c = text[i];

		if (c == '\0')
			return error_set(ret_error, EINVAL, "%s: not JSON: it holds a NUL byte",
					 name);
		if (in_string && c == '\\') {
			if (size - i > 5 && memcmp(text + i + 1, "u0000", 5) == 0)
				return error_set(ret_error, EINVAL,
						 "%s: a string holds a NUL character", name);
			i++; /* an escaped quote ends nothing */
		} else if (c == '"') {
			in_string = !in_string;
		} else if (!in_string && c == '/') {
			/* yajl would take comments, in which quotes are no strings */
			return error_set(ret_error, EINVAL, "%s: not valid JSON: a comment", name);
		} else if (!in_string && (c == '{' || c == '[')) {
			if (++depth > JSON_DEPTH_MAX)
				return error_set(ret_error, EINVAL,
						 "%s: nested deeper than %d levels", name,
						 JSON_DEPTH_MAX);
		} else if (!in_string && (c == '}' || c == ']') && depth > 0) {
			depth--;
		}
	}
	return 0;
}

int json_parse(const char *text, size_t size, const char *name, yajl_val *ret_value,
	       struct error **ret_error)
{
	char message[256] = "";
	_cleanup_free_ char *terminated = NULL;
	_cleanup_json_ yajl_val value = NULL;

	if (check_shape(text, size, name, ret_error) < 0)
		return -1;
	/* yajl_tree_parse() takes a C string. */
	terminated = xstrndup(size > 0 ? text : "", size);
	value = yajl_tree_parse(terminated, message, sizeof(message));
	if (!value) {
		for (char *p = message; *p; p++)
			if (*p == '\n')
				*p = p[1] ? ' ' : '\0';
		return error_set(ret_error, EINVAL, "%s: not valid JSON: %s", name,
				 message[0] ? message : "the document is empty");
	}
	*ret_value = TAKE_PTR(value);
	return 0;
}

void json_free(yajl_val value)
{
	yajl_tree_free(value);
}

struct json_at json_root(yajl_val value)
{
	return (struct json_at){ .value = value };
}

bool json_present(const struct json_at *at)
{
	return at->value && !YAJL_IS_NULL(at->value);
}

/* "a.b[3].c"; "(document)" for the root.  Caller frees. */
static char *json_path(const struct json_at *at)
{
	_cleanup_free_ char *parent = NULL;

	if (!at->parent)
		return xstrdup("(document)");
	parent = at->parent->parent ? json_path(at->parent) : xstrdup("");
	if (!at->key)
		return xasprintf("%s[%zu]", parent, at->index);
	return xasprintf("%s%s%s", parent, parent[0] ? "." : "", at->key);
}

int json_error(const struct json_at *at, struct error **ret_error, const char *format, ...)
{
	_cleanup_free_ char *path = json_path(at);
	_cleanup_free_ char *message = NULL;
	va_list args;

	va_start(args, format);
	message = xvasprintf(format, args);
	va_end(args);
	return error_set(ret_error, EINVAL, "%s: %s", path, message);
}

static int wrong_type(const struct json_at *at, const char *wanted, struct error **ret_error)
{
	return json_error(at, ret_error, "must be %s, not %s", wanted, type_name(at->value));
}

int json_as_object(const struct json_at *at, struct error **ret_error)
{
	return YAJL_IS_OBJECT(at->value) ? 0 : wrong_type(at, "an object", ret_error);
}

int json_member(const struct json_at *object, const char *key, enum json_need need,
		struct json_at *ret_at, struct error **ret_error)
{
	struct json_at at = { .parent = object, .key = key };

	if (json_as_object(object, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < object->value->u.object.len; i++)
		if (strcmp(object->value->u.object.keys[i], key) == 0)
			at.value = object->value->u.object.values[i];
	if (need == JSON_REQUIRED && !json_present(&at))
		return json_error(&at, ret_error, "missing, and required");
	*ret_at = at;
	return 0;
}

int json_object(const struct json_at *object, const char *key, enum json_need need,
		struct json_at *ret_at, struct error **ret_error)
{
	struct json_at at;

	if (json_member(object, key, need, &at, ret_error) < 0)
		return -1;
	if (json_present(&at) && !YAJL_IS_OBJECT(at.value))
		return wrong_type(&at, "an object", ret_error);
	*ret_at = at;
	return 0;
}

int json_array(const struct json_at *object, const char *key, enum json_need need,
	       struct json_at *ret_at, struct error **ret_error)
{
	struct json_at at;

	if (json_member(object, key, need, &at, ret_error) < 0)
		return -1;
	if (json_present(&at) && !YAJL_IS_ARRAY(at.value))
		return wrong_type(&at, "an array", ret_error);
	*ret_at = at;
	return 0;
}

size_t json_length(const struct json_at *at)
{
	if (YAJL_IS_ARRAY(at->value))
		return at->value->u.array.len;
	if (YAJL_IS_OBJECT(at->value))
		return at->value->u.object.len;
	return 0;
}

struct json_at json_element(const struct json_at *array, size_t index)
{
	return (struct json_at){ .parent = array,
				 .index = index,
				 .value = array->value->u.array.values[index] };
}

struct json_at json_member_at(const struct json_at *object, size_t index)
{
	return (struct json_at){ .parent = object,
				 .key = object->value->u.object.keys[index],
				 .value = object->value->u.object.values[index] };
}

int json_as_string(const struct json_at *at, char **ret_string, struct error **ret_error)
{
	if (!YAJL_IS_STRING(at->value))
		return wrong_type(at, "a string", ret_error);
	*ret_string = xstrdup(YAJL_GET_STRING(at->value));
	return 0;
}

int json_as_bool(const struct json_at *at, bool *ret_bool, struct error **ret_error)
{
	if (!YAJL_IS_TRUE(at->value) && !YAJL_IS_FALSE(at->value))
		return wrong_type(at, "true or false", ret_error);
	*ret_bool = YAJL_IS_TRUE(at->value);
	return 0;
}

/* yajl keeps a number's text; going through it keeps uint64 whole. */
static int number_text(const struct json_at *at, const char **ret_text, struct error **ret_error)
{
	const char *text;

	if (!YAJL_IS_NUMBER(at->value))
		return wrong_type(at, "a whole number", ret_error);
	text = YAJL_GET_NUMBER(at->value);
	if (strpbrk(text, ".eE"))
		return json_error(at, ret_error, "must be a whole number, not %s", text);
	*ret_text = text;
	return 0;
}

int json_as_int64(const struct json_at *at, int64_t min, int64_t max, int64_t *ret_value,
		  struct error **ret_error)
{
	const char *text;
	int64_t value;

	if (number_text(at, &text, ret_error) < 0)
		return -1;
	errno = 0;
	value = strtoll(text, NULL, 10);
	if (errno != 0 || value < min || value > max)
		return json_error(at, ret_error, "%s is out of range (%" PRId64 " to %" PRId64 ")",
				  text, min, max);
	*ret_value = value;
	return 0;
}

int json_as_uint64(const struct json_at *at, uint64_t max, uint64_t *ret_value,
		   struct error **ret_error)
{
	const char *text;
	uint64_t value;

	if (number_text(at, &text, ret_error) < 0)
		return -1;
	errno = 0;
	value = strtoull(text, NULL, 10);
	if (errno != 0 || text[0] == '-' || value > max)
		return json_error(at, ret_error, "%s is out of range (0 to %" PRIu64 ")", text,
				  max);
	*ret_value = value;
	return 0;
}

int json_get_string(const struct json_at *object, const char *key, enum json_need need,
		    char **ret_string, struct error **ret_error)
{
	struct json_at at;

	if (json_member(object, key, need, &at, ret_error) < 0)
		return -1;
	return json_present(&at) ? json_as_string(&at, ret_string, ret_error) : 0;
}

int json_get_bool(const struct json_at *object, const char *key, enum json_need need,
		  bool *ret_bool, struct error **ret_error)
{
	struct json_at at;

	if (json_member(object, key, need, &at, ret_error) < 0)
		return -1;
	return json_present(&at) ? json_as_bool(&at, ret_bool, ret_error) : 0;
}

int json_get_int64(const struct json_at *object, const char *key, enum json_need need, int64_t min,
		   int64_t max, int64_t *ret_value, struct error **ret_error)
{
	struct json_at at;

	if (json_member(object, key, need, &at, ret_error) < 0)
		return -1;
	return json_present(&at) ? json_as_int64(&at, min, max, ret_value, ret_error) : 0;
}

int json_get_uint64(const struct json_at *object, const char *key, enum json_need need,
		    uint64_t max, uint64_t *ret_value, struct error **ret_error)
{
	struct json_at at;

	if (json_member(object, key, need, &at, ret_error) < 0)
		return -1;
	return json_present(&at) ? json_as_uint64(&at, max, ret_value, ret_error) : 0;
}

int json_get_uint32(const struct json_at *object, const char *key, enum json_need need,
		    uint32_t *ret_value, struct error **ret_error)
{
	uint64_t value = *ret_value;

	if (json_get_uint64(object, key, need, UINT32_MAX, &value, ret_error) < 0)
		return -1;
	*ret_value = (uint32_t)value;
	return 0;
}

int json_get_strv(const struct json_at *object, const char *key, enum json_need need,
		  char ***ret_strv, struct error **ret_error)
{
	_cleanup_strv_ char **strv = NULL;
	struct json_at array;
	size_t n;

	if (json_array(object, key, need, &array, ret_error) < 0)
		return -1;
	if (!json_present(&array))
		return 0;
	n = json_length(&array);
	strv = xcalloc(n + 1, sizeof(*strv));
	for (size_t i = 0; i < n; i++) {
		struct json_at element = json_element(&array, i);

		if (json_as_string(&element, &strv[i], ret_error) < 0)
			return -1;
	}
	*ret_strv = TAKE_PTR(strv);
	return 0;
}
