/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that end `attach`: see detach-keys.h. */
#include "cli/detach-keys.h"

#include <errno.h>
#include <string.h>

#define USUAL "ctrl-p,ctrl-q"
#define CTRL "ctrl-"

/* 0: no key. */
static char read_key(const char *word, size_t size)
{
	const char key = word[size - 1];

	if (size == 1)
		return key;
	if (size != strlen(CTRL) + 1 || strncmp(word, CTRL, strlen(CTRL)) != 0)
		return '\0';
	if (key >= 'a' && key <= 'z')
		return (char)(key - 'a' + 1);
	return key == '[' || key == '\\' || key == ']' || key == '^' || key == '_'
		   ? (char)(key - '@')
		   : '\0';
}

int detach_keys_read(const char *words, struct detach_keys *ret_keys, struct error **ret_error)
{
	struct detach_keys keys = { 0 };
	const char *all = words && words[0] ? words : USUAL;

	for (const char *word = all;;) {
		const size_t size = strcspn(word, ",");
		const char key = size > 0 ? read_key(word, size) : '\0';

		if (!key || keys.n == DETACH_KEYS_MAX)
			return error_set(ret_error, EINVAL, "Invalid detach keys (%s) provided",
					 all);
		keys.keys[keys.n++] = key;
		if (word[size] == '\0')
			break;
		word += size + 1;
	}
	*ret_keys = keys;
	return 0;
}

size_t detach_keys_pass(struct detach_keys *keys, const char *typed, size_t n, char *to,
			bool *ret_detached)
{
	size_t size = 0;

	*ret_detached = false;
	for (size_t i = 0; i < n; i++) {
		/* What seemed to be the beginning of them was not. */
		if (keys->seen > 0 && typed[i] != keys->keys[keys->seen]) {
			memcpy(to + size, keys->keys, keys->seen);
			size += keys->seen;
			keys->seen = 0;
		}
		if (typed[i] != keys->keys[keys->seen]) {
			to[size++] = typed[i];
		} else if (++keys->seen == keys->n) {
			*ret_detached = true;
			keys->seen = 0;
			break;
		}
	}
	return size;
}
