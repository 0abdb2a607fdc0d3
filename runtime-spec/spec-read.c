/* SPDX-License-Identifier: Apache-2.0 */
/* The readers that spec.h's conventions ask for: see spec-internal.h. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "runtime-spec/spec-internal.h"

int spec_get_text(const struct json_at *object, const char *key, enum json_need need,
		  char **ret_text, struct error **ret_error)
{
	_cleanup_free_ char *text = NULL;
	struct json_at at;

	if (json_member(object, key, need, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (json_as_string(&at, &text, ret_error) < 0)
		return -1;
	if (text[0] != '\0')
		*ret_text = TAKE_PTR(text);
	else if (need == JSON_REQUIRED)
		return json_error(&at, ret_error, "must not be empty");
	return 0;
}

int spec_get_path(const struct json_at *object, const char *key, enum json_need need,
		  char **ret_path, struct error **ret_error)
{
	_cleanup_free_ char *path = NULL;
	const struct json_at at = { .parent = object, .key = key };

	if (spec_get_text(object, key, need, &path, ret_error) < 0)
		return -1;
	if (path && path[0] != '/')
		return json_error(&at, ret_error, "must be an absolute path, not \"%s\"", path);
	if (path)
		*ret_path = TAKE_PTR(path);
	return 0;
}

int spec_get_int64_pointer(const struct json_at *object, const char *key, int64_t min, int64_t max,
			   int64_t **ret_value, struct error **ret_error)
{
	struct json_at at;
	int64_t value;

	if (json_member(object, key, JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (json_as_int64(&at, min, max, &value, ret_error) < 0)
		return -1;
	*ret_value = xmemdup(&value, sizeof(value));
	return 0;
}

int spec_get_uint64_pointer(const struct json_at *object, const char *key, uint64_t **ret_value,
			    struct error **ret_error)
{
	struct json_at at;
	uint64_t value;

	if (json_member(object, key, JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (json_as_uint64(&at, UINT64_MAX, &value, ret_error) < 0)
		return -1;
	*ret_value = xmemdup(&value, sizeof(value));
	return 0;
}

static int get_flagged(const struct json_at *object, const char *key, uint64_t max, bool *ret_has,
		       uint64_t *ret_value, struct error **ret_error)
{
	struct json_at at;

	if (json_member(object, key, JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (json_as_uint64(&at, max, ret_value, ret_error) < 0)
		return -1;
	*ret_has = true;
	return 0;
}

int spec_get_uint32_flag(const struct json_at *object, const char *key, bool *ret_has,
			 uint32_t *ret_value, struct error **ret_error)
{
	uint64_t value = *ret_value;

	if (get_flagged(object, key, UINT32_MAX, ret_has, &value, ret_error) < 0)
		return -1;
	*ret_value = (uint32_t)value;
	return 0;
}

int spec_get_uint16_flag(const struct json_at *object, const char *key, bool *ret_has,
			 uint16_t *ret_value, struct error **ret_error)
{
	uint64_t value = *ret_value;

	if (get_flagged(object, key, UINT16_MAX, ret_has, &value, ret_error) < 0)
		return -1;
	*ret_value = (uint16_t)value;
	return 0;
}

static bool in_list(const char *const *words, const char *word)
{
	for (; *words; words++)
		if (strcmp(*words, word) == 0)
			return true;
	return false;
}

int spec_get_word(const struct json_at *object, const char *key, enum json_need need,
		  const char *const *words, const char *what, char **ret_word,
		  struct error **ret_error)
{
	_cleanup_free_ char *word = NULL;
	const struct json_at at = { .parent = object, .key = key };

	if (spec_get_text(object, key, need, &word, ret_error) < 0)
		return -1;
	if (word && !in_list(words, word))
		return json_error(&at, ret_error, "\"%s\" is not a known %s", word, what);
	if (word)
		*ret_word = TAKE_PTR(word);
	return 0;
}

int spec_get_words(const struct json_at *object, const char *key, const char *const *words,
		   const char *what, char ***ret_words, struct error **ret_error)
{
	_cleanup_strv_ char **strv = NULL;
	const struct json_at array = { .parent = object, .key = key };

	if (json_get_strv(object, key, JSON_OPTIONAL, &strv, ret_error) < 0)
		return -1;
	for (size_t i = 0; strv && strv[i]; i++) {
		const struct json_at at = { .parent = &array, .index = i };

		if (!in_list(words, strv[i]))
			return json_error(&at, ret_error, "\"%s\" is not a known %s", strv[i],
					  what);
	}
	*ret_words = TAKE_PTR(strv);
	return 0;
}

int spec_get_list(const struct json_at *object, const char *key, enum json_need need, size_t size,
		  spec_element_fn function, void *ret_elements, size_t *ret_count,
		  struct error **ret_error)
{
	struct json_at array;
	char *elements;
	size_t n;

	if (json_array(object, key, need, &array, ret_error) < 0)
		return -1;
	n = json_length(&array);
	if (n == 0)
		return 0;
	elements = xcalloc(n, size);
	/* Any `struct foo *` may be behind ret_elements. */
	memcpy(ret_elements, &elements, sizeof(elements));
	for (size_t i = 0; i < n; i++) {
		const struct json_at at = json_element(&array, i);

		*ret_count = i + 1;
		if (json_as_object(&at, ret_error) < 0 ||
		    function(&at, elements + i * size, ret_error) < 0)
			return -1;
	}
	return 0;
}

int spec_get_map(const struct json_at *object, const char *key, struct spec_key_value **ret_map,
		 size_t *ret_count, struct error **ret_error)
{
	struct json_at map;
	size_t n;

	if (json_object(object, key, JSON_OPTIONAL, &map, ret_error) < 0)
		return -1;
	n = json_length(&map);
	if (n == 0)
		return 0;
	*ret_map = xcalloc(n, sizeof(**ret_map));
	for (size_t i = 0; i < n; i++) {
		const struct json_at at = json_member_at(&map, i);

		if (at.key[0] == '\0')
			return json_error(&map, ret_error, "a key must not be empty");
		*ret_count = i + 1;
		(*ret_map)[i].key = xstrdup(at.key);
		if (json_as_string(&at, &(*ret_map)[i].value, ret_error) < 0)
			return -1;
	}
	return 0;
}

void spec_map_done(struct spec_key_value *map, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(map[i].key);
		free(map[i].value);
	}
	free(map);
}
