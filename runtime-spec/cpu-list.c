/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of CPUs: see cpu-list.h. */
#include "runtime-spec/cpu-list.h"

#include <stdlib.h>
#include <string.h>

#define SEPARATORS ", \t\n" /* as lib/bitmap.c's: one or more, also in front and behind */

/* One number, moving *text behind it. */
static bool take_number(const char **text, unsigned int *ret_number)
{
	char *end;
	unsigned long number;

	if (**text < '0' || **text > '9')
		return false;
	number = strtoul(*text, &end, 10);
	if (number >= CPU_NUMBERS_MAX)
		return false;
	*text = end;
	*ret_number = (unsigned int)number;
	return true;
}

unsigned int cpu_list_parse(const char *list, bool ret_named[CPU_NUMBERS_MAX])
{
	unsigned int first, last, n = 0;

	(void)memset(ret_named, 0, CPU_NUMBERS_MAX * sizeof(ret_named[0]));
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
			n += !ret_named[i];
			ret_named[i] = true;
		}
	}
	return n;
}
