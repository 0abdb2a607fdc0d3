/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of an image's container: see run-env.h. */
#include "cli/run-env.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

void env_put(char ***env, const char *entry)
{
	const size_t name = strcspn(entry, "=");
	size_t n = 0;

	for (size_t i = 0; *env && (*env)[i]; i++) {
		if (strcspn((*env)[i], "=") == name && memcmp((*env)[i], entry, name) == 0)
			free((*env)[i]);
		else
			(*env)[n++] = (*env)[i];
	}
	if (*env)
		(*env)[n] = NULL;
	if (entry[name] == '=')
		strv_append(env, entry);
}

static int put_word(char ***env, const char *word, struct error **ret_error)
{
	_cleanup_free_ char *entry = NULL;
	const char *value;

	if (word[0] == '\0' || word[0] == '=')
		return error_set(ret_error, EINVAL, "invalid environment variable: \"%s\"", word);
	value = strchr(word, '=') ? NULL : getenv(word);
	if (value)
		entry = xasprintf("%s=%s", word, value);
	env_put(env, entry ? entry : word);
	return 0;
}

int env_put_words(char ***env, const char *const *words, struct error **ret_error)
{
	for (; words && *words; words++)
		if (put_word(env, *words, ret_error) < 0)
			return error_wrap(ret_error, "--env");
	return 0;
}
