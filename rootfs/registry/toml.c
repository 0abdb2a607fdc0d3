/* SPDX-License-Identifier: Apache-2.0 */
/* TOML: see toml.h. */
#include "rootfs/registry/toml.h"

#include <errno.h>
#include <search.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"

#define BARE "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
#define OTHER BARE "+.:"
#define HEX "0123456789abcdefABCDEF"

enum kind { KIND_STRING, KIND_BOOL, KIND_ARRAY, KIND_TABLE };

struct node {
	enum kind kind;
	char *key; /* of a table's member */
	char *text;
	bool truth;
	bool is_closed; /* written as a value: no header and no dotted key adds to it */
	bool is_headed; /* a header has named it */
	struct node *first, *last, *next;
	const struct node *parent; /* of a table's member */
};

struct parser {
	const char *at, *end, *name;
	unsigned line, depth;
	char *string;  /* room for the longest one */
	void *members; /* tsearch(3): all tables' members, by table and key */
	struct error **ret_error;
};

static int parse_value(struct parser *parser, struct node **ret_node);

static void node_free(struct node *node)
{
	while (node) {
		struct node *next = node->next;

		node_free(node->first);
		free(node->key);
		free(node->text);
		free(node);
		node = next;
	}
}
DEFINE_CLEANUP(struct node, node_free)

static struct node *new_node(enum kind kind)
{
	struct node *node = xcalloc(1, sizeof(*node));

	node->kind = kind;
	return node;
}

static void append(struct node *parent, struct node *child)
{
	if (parent->last)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
}

static int compare_members(const void *one, const void *other)
{
	const struct node *a = one, *b = other;

	if (a->parent != b->parent)
		return a->parent < b->parent ? -1 : 1;
	return strcmp(a->key, b->key);
}

/* The node has its key, and the table none of that key. */
static void add_member(struct parser *parser, struct node *table, struct node *node)
{
	node->parent = table;
	append(table, node);
	if (!tsearch(node, &parser->members, compare_members))
		abort(); /* as base/alloc.h: no memory */
}

static int refuse(const struct parser *parser, const char *why)
{
	return error_set(parser->ret_error, EINVAL, "%s: line %u: %s", parser->name, parser->line,
			 why);
}

/* ---- blanks ---- */

static void skip_blanks(struct parser *parser)
{
	while (*parser->at == ' ' || *parser->at == '\t')
		parser->at++;
}

/* At the end of a line; false: something else stands there. */
static bool skip_line_end(struct parser *parser)
{
	skip_blanks(parser);
	if (*parser->at == '#')
		parser->at += strcspn(parser->at, "\n");
	if (parser->at[0] == '\r' && parser->at[1] == '\n')
		parser->at++;
	if (*parser->at == '\n') {
		parser->at++;
		parser->line++;
		return true;
	}
	return parser->at == parser->end;
}

/* Blanks, comments and line ends. */
static void skip_all(struct parser *parser)
{
	while (parser->at < parser->end && skip_line_end(parser))
		;
}

static bool take(struct parser *parser, const char *what)
{
	const size_t length = strlen(what);

	if (strncmp(parser->at, what, length) != 0)
		return false;
	parser->at += length;
	return true;
}

/* ---- strings ---- */

static char *put_utf8(char *to, uint32_t code)
{
	const unsigned more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
	static const uint8_t first[] = { 0, 0xc0, 0xe0, 0xf0 };

	*to++ = (char)(first[more] | code >> 6 * more);
	for (unsigned i = more; i-- > 0;)
		*to++ = (char)(0x80 | (code >> 6 * i & 0x3f));
	return to;
}

/* Behind "\u" or "\U". */
static char *take_code(struct parser *parser, size_t digits, char *to)
{
	char text[9] = "";
	uint32_t code;

	if (strspn(parser->at, HEX) < digits)
		return NULL;
	memcpy(text, parser->at, digits);
	code = (uint32_t)strtoul(text, NULL, 16);
	if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return NULL;
	parser->at += digits;
	return put_utf8(to, code);
}

/* Behind a backslash; NULL: it means nothing.  What is written is never longer than what is read.
 */
static char *take_escape(struct parser *parser, bool is_long, char *to)
{
	static const char letters[] = "btnfr\"\\", meant[] = "\b\t\n\f\r\"\\";
	const char *found = *parser->at ? strchr(letters, *parser->at) : NULL;
	struct parser ahead = *parser;

	if (found) {
		parser->at++;
		*to++ = meant[found - letters];
		return to;
	}
	if (*parser->at == 'u' || *parser->at == 'U')
		return take_code(parser, *parser->at++ == 'u' ? 4 : 8, to);
	/* A line end, and all blanks behind it. */
	if (!is_long || !skip_line_end(&ahead) || ahead.at == ahead.end)
		return NULL;
	*parser = ahead;
	do
		skip_blanks(parser);
	while (*parser->at == '\n' && skip_line_end(parser));
	return to;
}

/* A quotation mark at *at; the caller frees *ret_text. */
static int take_string(struct parser *parser, char **ret_text)
{
	const char mark = *parser->at, marks[] = { mark, mark, mark, '\0' };
	const bool is_long = strncmp(parser->at, marks, 3) == 0;
	char *to = parser->string;

	parser->at += is_long ? 3 : 1;
	if (is_long) {
		(void)take(parser, "\r");
		parser->line += take(parser, "\n");
	}
	for (;;) {
		if (parser->at >= parser->end || (!is_long && *parser->at == '\n'))
			return refuse(parser, "a string has no end");
		/* (Two marks may stand before the last three.) */
		if (is_long ? strncmp(parser->at, marks, 3) == 0 && parser->at[3] != mark
			    : *parser->at == mark)
			break;
		if (mark == '"' && *parser->at == '\\') {
			parser->at++;
			to = take_escape(parser, is_long, to);
			if (!to)
				return refuse(parser, "a backslash before what it does not escape");
			continue;
		}
		parser->line += *parser->at == '\n';
		*to++ = *parser->at++;
	}
	parser->at += is_long ? 3 : 1;
	*ret_text = xstrndup(parser->string, (size_t)(to - parser->string));
	return 0;
}

/* ---- keys ---- */

static int take_key(struct parser *parser, char **ret_key)
{
	size_t length;

	if (*parser->at == '"' || *parser->at == '\'')
		return take_string(parser, ret_key);
	length = strspn(parser->at, BARE);
	if (length == 0)
		return refuse(parser, "no key where there is to be one");
	*ret_key = xstrndup(parser->at, length);
	parser->at += length;
	return 0;
}

static struct node *find(const struct parser *parser, const struct node *table, char *key)
{
	const struct node wanted = { .parent = table, .key = key };
	struct node *const *found = tfind(&wanted, &parser->members, compare_members);

	return found ? *found : NULL;
}

/* The table of that key, made if need be; of an array of tables, the last one. */
static int enter(struct parser *parser, struct node *table, char *key, struct node **ret_node)
{
	struct node *node = find(parser, table, key);

	if (!node) {
		node = new_node(KIND_TABLE);
		node->key = key;
		add_member(parser, table, node);
	} else {
		free(key);
	}
	if (node->kind == KIND_ARRAY && !node->is_closed)
		node = node->last;
	if (node->kind != KIND_TABLE || node->is_closed)
		return refuse(parser, "a key is not a table, or is there already");
	*ret_node = node;
	return 0;
}

/* "a.b.c": the table that c is to be in, and c. */
static int take_path(struct parser *parser, struct node *table, struct node **ret_table,
		     char **ret_key)
{
	_cleanup_free_ char *key = NULL;
	unsigned depth = parser->depth;

	if (take_key(parser, &key) < 0)
		return -1;
	for (skip_blanks(parser); take(parser, "."); skip_blanks(parser)) {
		if (++depth > TOML_DEPTH_MAX)
			return refuse(parser, "too many tables within each other");
		if (enter(parser, table, TAKE_PTR(key), &table) < 0)
			return -1;
		skip_blanks(parser);
		if (take_key(parser, &key) < 0)
			return -1;
	}
	*ret_table = table;
	*ret_key = TAKE_PTR(key);
	return 0;
}

static int parse_pair(struct parser *parser, struct node *table)
{
	_cleanup_(node_freep) struct node *value = NULL;
	_cleanup_free_ char *key = NULL;

	if (take_path(parser, table, &table, &key) < 0)
		return -1;
	if (!take(parser, "="))
		return refuse(parser, "no \"=\" behind a key");
	if (find(parser, table, key))
		return refuse(parser, "a key is there already");
	skip_blanks(parser);
	if (parse_value(parser, &value) < 0)
		return -1;
	value->key = TAKE_PTR(key);
	add_member(parser, table, TAKE_PTR(value));
	return 0;
}

/* ---- values ---- */

static int parse_array(struct parser *parser, struct node *array)
{
	for (skip_all(parser); !take(parser, "]"); skip_all(parser)) {
		struct node *value = NULL;

		if (parse_value(parser, &value) < 0)
			return -1;
		append(array, value);
		skip_all(parser);
		if (!take(parser, ",") && *parser->at != ']')
			return refuse(parser, "no \",\" or \"]\" in an array");
	}
	return 0;
}

static int parse_inline_table(struct parser *parser, struct node *table)
{
	skip_blanks(parser);
	if (take(parser, "}"))
		return 0;
	do {
		skip_blanks(parser);
		if (parse_pair(parser, table) < 0)
			return -1;
		skip_blanks(parser);
	} while (take(parser, ","));
	return take(parser, "}") ? 0 : refuse(parser, "no \",\" or \"}\" in a table");
}

/* true, false, or what becomes a string. */
static int parse_word(struct parser *parser, struct node *node)
{
	const size_t length = strspn(parser->at, OTHER);

	if (length == 0)
		return refuse(parser, "no value where there is to be one");
	node->text = xstrndup(parser->at, length);
	parser->at += length;
	node->truth = strcmp(node->text, "true") == 0;
	node->kind = node->truth || strcmp(node->text, "false") == 0 ? KIND_BOOL : KIND_STRING;
	return 0;
}

static int parse_value(struct parser *parser, struct node **ret_node)
{
	_cleanup_(node_freep) struct node *node = new_node(KIND_STRING);
	int result;

	if (++parser->depth > TOML_DEPTH_MAX)
		return refuse(parser, "too many values within each other");
	if (*parser->at == '"' || *parser->at == '\'') {
		result = take_string(parser, &node->text);
	} else if (take(parser, "[")) {
		node->kind = KIND_ARRAY;
		result = parse_array(parser, node);
	} else if (take(parser, "{")) {
		node->kind = KIND_TABLE;
		result = parse_inline_table(parser, node);
	} else {
		result = parse_word(parser, node);
	}
	parser->depth--;
	node->is_closed = true;
	if (result == 0)
		*ret_node = TAKE_PTR(node);
	return result;
}

/* ---- headers ---- */

/* Behind "[[". */
static int parse_array_header(struct parser *parser, struct node *root, struct node **ret_table)
{
	struct node *table = root, *array;
	_cleanup_free_ char *key = NULL;

	skip_blanks(parser);
	if (take_path(parser, root, &table, &key) < 0)
		return -1;
	if (!take(parser, "]]"))
		return refuse(parser, "no \"]]\" behind a header");
	array = find(parser, table, key);
	if (!array) {
		array = new_node(KIND_ARRAY);
		array->key = TAKE_PTR(key);
		add_member(parser, table, array);
	}
	if (array->kind != KIND_ARRAY || array->is_closed)
		return refuse(parser, "a key is there already, and not an array of tables");
	append(array, *ret_table = new_node(KIND_TABLE));
	return 0;
}

/* Behind "[". */
static int parse_table_header(struct parser *parser, struct node *root, struct node **ret_table)
{
	struct node *table = root;
	char *key = NULL;

	skip_blanks(parser);
	if (take_path(parser, root, &table, &key) < 0 || enter(parser, table, key, ret_table) < 0)
		return -1;
	if (!take(parser, "]"))
		return refuse(parser, "no \"]\" behind a header");
	if ((*ret_table)->is_headed)
		return refuse(parser, "a table is there already");
	(*ret_table)->is_headed = true;
	return 0;
}

static int parse(struct parser *parser, struct node *root)
{
	struct node *table = root;
	int result;

	for (skip_all(parser); parser->at < parser->end; skip_all(parser)) {
		if (take(parser, "[["))
			result = parse_array_header(parser, root, &table);
		else if (take(parser, "["))
			result = parse_table_header(parser, root, &table);
		else
			result = parse_pair(parser, table);
		if (result < 0)
			return -1;
		if (!skip_line_end(parser))
			return refuse(parser, "something stands behind what has its line");
	}
	return 0;
}

/* ---- JSON ---- */

static void put(struct json_writer *writer, const struct node *node)
{
	switch (node->kind) {
	case KIND_STRING:
		json_put_string(writer, node->key, node->text);
		return;
	case KIND_BOOL:
		json_put_bool(writer, node->key, node->truth);
		return;
	case KIND_ARRAY:
	case KIND_TABLE:
		break;
	}
	if (node->key)
		json_put_key(writer, node->key);
	if (node->kind == KIND_ARRAY)
		json_begin_array(writer);
	else
		json_begin_object(writer);
	for (const struct node *at = node->first; at; at = at->next)
		put(writer, at);
	if (node->kind == KIND_ARRAY)
		json_end_array(writer);
	else
		json_end_object(writer);
}

static void forget(void *node)
{
	(void)node; /* its table's */
}

int toml_to_json(const char *text, size_t size, const char *name, char **ret_json,
		 struct error **ret_error)
{
	_cleanup_(node_freep) struct node *root = new_node(KIND_TABLE);
	_cleanup_free_ char *string = xmalloc(size + 1);
	struct parser parser = { .at = text,
				 .end = text + size,
				 .name = name,
				 .line = 1,
				 .string = string,
				 .ret_error = ret_error };
	struct json_writer *writer;
	int result;

	if (strlen(text) != size)
		return error_set(ret_error, EINVAL, "%s: it has a NUL byte", name);
	result = parse(&parser, root);
	tdestroy(parser.members, forget);
	if (result < 0)
		return -1;
	writer = json_writer_new(false);
	put(writer, root);
	*ret_json = json_writer_finish(writer, NULL);
	return 0;
}
