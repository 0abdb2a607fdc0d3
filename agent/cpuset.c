/* SPDX-License-Identifier: Apache-2.0 */
/* A list of the host's CPUs in the guest's terms: see cpuset.h. */
#include "agent/cpuset.h"

#include <errno.h>

#include "base/alloc.h"
#include "runtime-spec/cpu-list.h"

int cpuset_map(const char *list, unsigned int n, const char *name, char **ret_list,
	       struct error **ret_error)
{
	bool named[CPU_NUMBERS_MAX];
	unsigned int wanted = cpu_list_parse(list, named);

	if (wanted == 0)
		return error_set(ret_error, EINVAL, "%s: \"%.64s\" is not a list such as 0-3,7",
				 name, list);
	if (wanted > n)
		wanted = n;
	*ret_list = wanted == 1 ? xstrdup("0") : xasprintf("0-%u", wanted - 1);
	return 0;
}
