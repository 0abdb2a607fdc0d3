/* SPDX-License-Identifier: Apache-2.0 */
/* Go's command-line flags: see flags.h. */
#include "shim/flags.h"

#include <errno.h>
#include <string.h>

#include "base/parse.h"

static const struct flag *find(const struct flag *flags, size_t n_flags, const char *name,
			       size_t length)
{
	for (size_t i = 0; i < n_flags; i++)
		if (strncmp(flags[i].name, name, length) == 0 && flags[i].name[length] == '\0')
			return &flags[i];
	return NULL;
}

int flags_parse(char *const *argv, const struct flag *flags, size_t n_flags,
		struct error **ret_error)
{
	int index = 0;

	while (argv[index] && argv[index][0] == '-' && argv[index][1] != '\0') {
		const char *word = argv[index++];
		const char *name = word + (word[1] == '-' ? 2 : 1);
		const char *value = strchr(name, '=');
		size_t length = value ? (size_t)(value - name) : strlen(name);
		const struct flag *flag = find(flags, n_flags, name, length);

		if (strcmp(word, "--") == 0)
			break;
		if (length == 0 || name[0] == '-')
			return error_set(ret_error, EINVAL, "bad flag syntax: %s", word);
		if (!flag)
			return error_set(ret_error, EINVAL, "flag provided but not defined: -%.*s",
					 (int)length, name);
		if (flag->on) {
			*flag->on = true;
			if (value && parse_bool(value + 1, flag->on) < 0)
				return error_set(ret_error, EINVAL,
						 "invalid boolean value \"%s\" for -%s", value + 1,
						 flag->name);
			continue;
		}
		if (!value && !argv[index])
			return error_set(ret_error, EINVAL, "flag needs an argument: -%s",
					 flag->name);
		*flag->text = value ? value + 1 : argv[index++];
	}
	return index;
}
