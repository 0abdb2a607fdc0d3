/* SPDX-License-Identifier: Apache-2.0 */
/* A list of the host's CPUs in the guest's terms: see cpuset.h. */
#include "agent/cpuset.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define NUMBERS_MAX 8192    /* the most CPUs of an x86-64 kernel, CONFIG_NR_CPUS */
#define SEPARATORS ", \t\n" /* as lib/bitmap.c's: one or more, also in front and behind */

/* One number, moving *text behind it. */
static bool take_number(const char **text, unsigned int *ret_number)
{
	char *end;
	unsigned long number;

	if (**text < '0' || **text > '9')
		return false;
	number = strtoul(*text, &end, 10);
	if (number >= NUMBERS_MAX)
		return false;
	*text = end;
	*ret_number = (unsigned int)number;
	return true;
}

/* How many numbers the list names, each counted once; 0: it is no list of them. */
static unsigned int count_members(const char *list)
{
	bool named[NUMBERS_MAX] = { false };
	unsigned int first, last, n = 0;

	for (list += strspn(list, SEPARATORS); *list; list += strspn(list, SEPARATORS)) {
		if (!take_number(&list, &first))
			return 0;
		last = first;
		if (*list == '-') {
			list++;
			if (!take_number(&list, &last) || last < first)
				return 0;
		}
		if (*list && !strchr(SEPARATORS, *list))
			return 0;
		for (unsigned int i = first; i <= last; i++) {
			n += !named[i];
			named[i] = true;
		}
	}
	return n;
}

int cpuset_map(const char *list, unsigned int n, const char *name, char **ret_list,
	       struct error **ret_error)
{
	unsigned int wanted = count_members(list);

	if (wanted == 0)
		return error_set(ret_error, EINVAL, "%s: \"%.64s\" is not a list such as 0-3,7",
				 name, list);
	if (wanted > n)
		wanted = n;
	*ret_list = wanted == 1 ? xstrdup("0") : xasprintf("0-%u", wanted - 1);
	return 0;
}
