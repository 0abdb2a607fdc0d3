/* SPDX-License-Identifier: Apache-2.0 */
/* Options that are in files: see run-words.h. */
#include "cli/run-words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"

#define FILE_MAX (1u << 20)

/* The lines that are not empty and do not begin with #. */
static int add_lines(const char *option, const char *path, char ***words, struct error **ret_error)
{
	_cleanup_free_ char *text = NULL;
	char *rest;

	if (read_file(path, FILE_MAX, &text, NULL, ret_error) < 0)
		return error_wrap(ret_error, "%s", option);
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		line += strspn(line, " \t");
		line[strcspn(line, "\r")] = '\0';
		if (line[0] == '\0' || line[0] == '#')
			continue;
		if (line[0] == '=' || strcspn(line, " \t") < strcspn(line, "="))
			return error_set(ret_error, EINVAL, "%s %s: \"%s\": %s", option, path, line,
					 line[0] == '=' ? "a name is missing"
							: "a name cannot contain blanks");
		strv_append(words, line);
	}
	return 0;
}

static int read_files(const char *option, const char ***files, const char ***words,
		      char ***ret_words, struct error **ret_error)
{
	for (const char **path = *files; path && *path; path++)
		if (add_lines(option, *path, ret_words, ret_error) < 0)
			return -1;
	if (!*ret_words)
		return 0;
	for (const char **word = *words; word && *word; word++)
		strv_append(ret_words, *word);
	*words = (const char **)*ret_words;
	*files = NULL;
	return 0;
}

int run_words_read(struct run_options *options, struct run_words *ret_words,
		   struct error **ret_error)
{
	return read_files("--env-file", &options->env_files, &options->env, &ret_words->env,
			  ret_error) < 0
		   ? -1
		   : read_files("--label-file", &options->label_files, &options->labels,
				&ret_words->labels, ret_error);
}

void run_words_done(struct run_words *words)
{
	strv_free(words->env);
	strv_free(words->labels);
}
