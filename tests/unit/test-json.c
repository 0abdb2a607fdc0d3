/* SPDX-License-Identifier: Apache-2.0 */
/* base/json: typed reading with paths, writing. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "tests/unit/test.h"

static yajl_val parse(const char *text)
{
	struct error *error = NULL;
	yajl_val value = NULL;

	CHECK_OK(json_parse(text, strlen(text), "test", &value, &error), &error);
	return value;
}

static void test_paths(void)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_json_ yajl_val value =
	    parse("{\"process\":{\"rlimits\":[{\"type\":\"A\"},{\"type\":7}]}}");
	struct json_at root = json_root(value), process, rlimits, element;
	_cleanup_free_ char *type = NULL;

	CHECK_OK(json_object(&root, "process", JSON_REQUIRED, &process, &error), &error);
	CHECK_OK(json_array(&process, "rlimits", JSON_REQUIRED, &rlimits, &error), &error);
	CHECK_INT(json_length(&rlimits), 2);
	element = json_element(&rlimits, 1);
	CHECK_ERROR(json_get_string(&element, "type", JSON_REQUIRED, &type, &error), &error,
		    "process.rlimits[1].type: must be a string, not a number");
	CHECK_ERROR(json_get_string(&element, "soft", JSON_REQUIRED, &type, &error), &error,
		    "process.rlimits[1].soft: missing, and required");
	CHECK_ERROR(json_array(&root, "process", JSON_REQUIRED, &rlimits, &error), &error,
		    "process: must be an array, not an object");
	CHECK_OK(json_get_string(&element, "soft", JSON_OPTIONAL, &type, &error), &error);
	CHECK(type == NULL);
}

static void test_numbers(void)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_json_ yajl_val value =
	    parse("{\"max\":18446744073709551615,\"over\":18446744073709551616,\"neg\":-1,"
		  "\"float\":1.5,\"exp\":1e3,\"null\":null}");
	struct json_at root = json_root(value);
	uint64_t u = 0;
	int64_t i = 0;

	CHECK_OK(json_get_uint64(&root, "max", JSON_REQUIRED, UINT64_MAX, &u, &error), &error);
	CHECK(u == UINT64_MAX);
	CHECK_ERROR(json_get_uint64(&root, "over", JSON_REQUIRED, UINT64_MAX, &u, &error), &error,
		    "out of range");
	CHECK_ERROR(json_get_uint64(&root, "neg", JSON_REQUIRED, UINT64_MAX, &u, &error), &error,
		    "neg: -1 is out of range (0 to 18446744073709551615)");
	CHECK_OK(json_get_int64(&root, "neg", JSON_REQUIRED, -1, 0, &i, &error), &error);
	CHECK_INT(i, -1);
	CHECK_ERROR(json_get_int64(&root, "float", JSON_REQUIRED, 0, 9, &i, &error), &error,
		    "must be a whole number");
	CHECK_ERROR(json_get_int64(&root, "exp", JSON_REQUIRED, 0, 9999, &i, &error), &error,
		    "must be a whole number");
	CHECK_ERROR(json_get_int64(&root, "null", JSON_REQUIRED, 0, 9, &i, &error), &error,
		    "missing");
}

static void test_bad_documents(void)
{
	static const char *const bad[] = { "", "{", "{\"a\":}", "nonsense", "{} x", "[1,]" };
	_cleanup_error_ struct error *error = NULL;
	yajl_val value;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_ERROR(json_parse(bad[i], strlen(bad[i]), "config.json", &value, &error),
			    &error, "config.json: not valid JSON");
	CHECK_ERROR(json_parse("{}\0{}", 5, "config.json", &value, &error), &error, "NUL");
	CHECK_ERROR(json_parse("{\"a\":\"b\\u0000c\"}", 15, "config.json", &value, &error), &error,
		    "NUL character");
	CHECK_OK(json_parse("[\"\\\\u0000\"]x", 11, "config.json", &value, &error), &error);
	json_free(TAKE_PTR(value));
	CHECK_ERROR(json_parse("/*\"*/[]", 8, "config.json", &value, &error), &error, "a comment");
}

static void test_depth(void)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_json_ yajl_val value = NULL;
	const size_t huge = 4 << 20;
	_cleanup_free_ char *text = xcalloc(huge, 1);

	memset(text, '[', huge);
	CHECK_ERROR(json_parse(text, huge, "config.json", &value, &error), &error,
		    "nested deeper than 100 levels");
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	CHECK_OK(json_parse(text, 2 * (size_t)JSON_DEPTH_MAX, "config.json", &value, &error),
		 &error);
	json_free(TAKE_PTR(value));
	/* Brackets in a string nest nothing. */
	memset(text, '[', huge);
	text[0] = text[huge - 1] = '"';
	CHECK_OK(json_parse(text, huge, "config.json", &value, &error), &error);
}

static void test_write(void)
{
	static const char text[] = "{\"a\":[1,\"x\",null,true],\"b\":{\"c\":18446744073709551615}}";
	_cleanup_json_ yajl_val value = parse(text);
	struct json_writer *writer = json_writer_new(false);
	_cleanup_free_ char *again = NULL;
	char *vector[] = { (char *)"p", (char *)"q", NULL };

	json_begin_object(writer);
	json_put_value(writer, "v", value);
	json_put_strv(writer, "s", vector);
	json_put_int64(writer, "i", -5);
	json_put_string(writer, "n", NULL);
	json_end_object(writer);
	again = json_writer_finish(writer, NULL);
	CHECK_STRING(again, "{\"v\":{\"a\":[1,\"x\",null,true],\"b\":{\"c\":18446744073709551615}},"
			    "\"s\":[\"p\",\"q\"],\"i\":-5,\"n\":null}");
}

static const struct test_case cases[] = {
	{ "paths", test_paths },
	{ "numbers", test_numbers },
	{ "bad documents", test_bad_documents },
	{ "write", test_write },
	{ "depth", test_depth },
};

TEST_MAIN(cases)
