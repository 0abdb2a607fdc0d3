/* SPDX-License-Identifier: Apache-2.0 */
/* Command line options by tables: see options.h. */
#include "cli/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/parse.h"

static const struct option_def help_option = { "help", 'h', OPTION_FLAG, 0, "show help" };

static bool takes_value(const struct option_def *option)
{
	return option->type != OPTION_FLAG && option->type != OPTION_UNSET_FLAG &&
	       option->type != OPTION_IGNORED_FLAG && option->type != OPTION_REFUSED;
}

/* name has length bytes; its dashes are gone. */
static const struct option_def *find(const struct option_def *table, const char *name,
				     size_t length)
{
	for (const struct option_def *option = table; option->name; option++)
		if ((strlen(option->name) == length && memcmp(option->name, name, length) == 0) ||
		    (length == 1 && option->short_name == name[0]))
			return option;
	if ((length == 4 && memcmp(name, "help", 4) == 0) || (length == 1 && name[0] == 'h'))
		return &help_option;
	return NULL;
}

/* Where the name begins in "-name" or "--name"; NULL: an argument ("-" is one). */
static const char *option_name(const char *word)
{
	if (word[0] != '-' || word[1] == '\0')
		return NULL;
	return word + (word[1] == '-' ? 2 : 1);
}

int options_bool(const char *name, const char *value, bool *ret_bool, struct error **ret_error)
{
	if (parse_bool(value, ret_bool) == 0)
		return 0;
	return error_set(ret_error, EINVAL, "invalid boolean value \"%s\" for -%s: parse error",
			 value, name);
}

static int parse_count(const char *name, const char *value, uint64_t *ret_count,
		       struct error **ret_error)
{
	if (parse_number(value, ret_count) < 0)
		return error_set(ret_error, EINVAL,
				 "invalid value \"%s\" for flag -%s: parse error", value, name);
	return 0;
}

static int store(const struct option_def *option, const char *name, const char *value, void *values,
		 struct error **ret_error)
{
	char *field = (char *)values + option->offset;
	const char ***list = (const char ***)(void *)field;
	size_t n = 0;

	switch (option->type) {
	case OPTION_FLAG:
		return options_bool(name, value, (bool *)field, ret_error);
	case OPTION_UNSET_FLAG:
		if (options_bool(name, value, (bool *)field, ret_error) < 0)
			return -1;
		*(bool *)field = !*(bool *)field;
		return 0;
	case OPTION_COUNT:
		return parse_count(name, value, (uint64_t *)(void *)field, ret_error);
	case OPTION_STRING:
		*(const char **)(void *)field = value;
		return 0;
	case OPTION_STRINGS:
		while (*list && (*list)[n])
			n++;
		*list = xreallocarray(*list, n + 2, sizeof(**list));
		(*list)[n] = value;
		(*list)[n + 1] = NULL;
		return 0;
	case OPTION_REFUSED:
		return error_set(ret_error, ENOTSUP, "--%s is not supported%s%s", option->name,
				 option->help[0] ? ": " : "", option->help);
	case OPTION_IGNORED_FLAG:
	case OPTION_IGNORED_VALUE:
		break;
	}
	return 0;
}

/* One option at argv[*at], and its value; *at ends on the last word of it. */
static int take_option(const struct option_def *option, char *const *argv, size_t *at, void *values,
		       bool *ret_help, struct error **ret_error)
{
	const char *name = option_name(argv[*at]);
	const char *equals = strchr(name, '=');
	_cleanup_free_ char *plain =
	    xstrndup(name, equals ? (size_t)(equals - name) : strlen(name));
	const char *value = equals ? equals + 1 : "true";

	if (!equals && takes_value(option)) {
		if (!argv[*at + 1])
			return error_set(ret_error, EINVAL, "flag needs an argument: -%s", plain);
		value = argv[++*at];
	}
	if (option == &help_option)
		return options_bool(plain, value, ret_help, ret_error);
	return store(option, plain, value, values, ret_error);
}

/* "-it", "-p80:80", "-dp80:80": letters of the table, all but the last of them flags. */
static bool is_bundle_of_letters(const struct option_def *table, const char *word)
{
	const struct option_def *option;

	if (word[0] != '-' || word[1] == '-' || word[1] == '\0')
		return false;
	for (word++; *word && *word != '='; word++) {
		option = find(table, word, 1);
		if (!option || option == &help_option || option->short_name != *word)
			return false;
		if (takes_value(option) || option->type == OPTION_REFUSED)
			return true;
	}
	return *word == '\0';
}

static int take_letters(const struct option_def *table, char *const *argv, size_t *at, void *values,
			struct error **ret_error)
{
	for (const char *letter = argv[*at] + 1; *letter; letter++) {
		const struct option_def *option = find(table, letter, 1);
		const char name[2] = { *letter, '\0' };
		const char *value = "true";
		const bool has_value = takes_value(option);

		if (has_value && letter[1] != '\0')
			value = letter + 1 + (letter[1] == '=');
		else if (has_value && !argv[*at + 1])
			return error_set(ret_error, EINVAL, "flag needs an argument: -%s", name);
		else if (has_value)
			value = argv[++*at];
		if (store(option, name, value, values, ret_error) < 0)
			return -1;
		if (has_value)
			break;
	}
	return 0;
}

int options_parse(const struct option_def *table, bool stop_at_argument, char *const *argv,
		  void *values, struct options_result *ret_result, struct error **ret_error)
{
	struct options_result result = { 0 };
	_cleanup_free_ const char **args = NULL;
	size_t n = 0;
	bool all_arguments = false;

	while (argv[n])
		n++;
	args = xcalloc(n + 1, sizeof(*args));
	for (size_t i = 0; i < n; i++) {
		const char *name = all_arguments ? NULL : option_name(argv[i]);
		const struct option_def *option = NULL;

		if (name && name[0] == '\0') { /* "--" */
			all_arguments = true;
			continue;
		}
		if (name)
			option = find(table, name, strcspn(name, "="));
		if (option) {
			if (take_option(option, argv, &i, values, &result.help, ret_error) < 0)
				return -1;
			continue;
		}
		if (name && stop_at_argument && is_bundle_of_letters(table, argv[i])) {
			if (take_letters(table, argv, &i, values, ret_error) < 0)
				return -1;
			continue;
		}
		if (name && result.n_args == 0)
			return error_set(ret_error, EINVAL, "flag provided but not defined: -%.*s",
					 (int)strcspn(name, "="), name);
		args[result.n_args++] = argv[i];
		all_arguments = all_arguments || stop_at_argument;
	}
	result.args = TAKE_PTR(args);
	*ret_result = result;
	return 0;
}

static bool is_given(const struct option_def *option, const void *values)
{
	const char *field = (const char *)values + option->offset;

	switch (option->type) {
	case OPTION_FLAG:
	case OPTION_UNSET_FLAG:
		return *(const bool *)field;
	case OPTION_COUNT:
		return *(const uint64_t *)(const void *)field != 0;
	case OPTION_STRING:
	case OPTION_STRINGS:
		return *(const void *const *)(const void *)field != NULL;
	case OPTION_IGNORED_FLAG:
	case OPTION_IGNORED_VALUE:
	case OPTION_REFUSED:
		break;
	}
	return false;
}

int options_format(const char *format, bool *ret_json, struct error **ret_error)
{
	*ret_json = format && strcmp(format, "json") == 0;
	if (format && !*ret_json && strcmp(format, "table") != 0)
		return error_set(ret_error, EINVAL, "invalid format option");
	return 0;
}

const char *options_given(const struct option_def *table, const void *values)
{
	for (; table->name; table++)
		if (is_given(table, values))
			return table->name;
	return NULL;
}

void options_done(const struct option_def *table, void *values)
{
	for (; table->name; table++)
		if (table->type == OPTION_STRINGS)
			free(*(const char ***)(void *)((char *)values + table->offset));
}

static char *left_column(const struct option_def *option)
{
	const char *value = takes_value(option) ? " value" : "";

	if (option->short_name)
		return xasprintf("--%s%s, -%c%s", option->name, value, option->short_name, value);
	return xasprintf("--%s%s", option->name, value);
}

void options_print(const struct option_def *table, FILE *stream)
{
	size_t width = strlen("--help, -h");

	for (const struct option_def *option = table; option->name; option++) {
		_cleanup_free_ char *left = left_column(option);

		if (option->type == OPTION_REFUSED)
			continue;
		width = MAX(width, strlen(left));
	}
	for (const struct option_def *option = table; option->name; option++) {
		_cleanup_free_ char *left = left_column(option);

		if (option->type == OPTION_REFUSED)
			continue;
		(void)fprintf(stream, "   %-*s  %s%s\n", (int)width, left,
			      option->type >= OPTION_IGNORED_FLAG ? "(no effect here) " : "",
			      option->help);
	}
	(void)fprintf(stream, "   %-*s  %s\n", (int)width, "--help, -h", help_option.help);
}
