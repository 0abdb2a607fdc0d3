/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of cgroups: see cgroup-terms.h. */
#include "runtime-spec/cgroup-terms.h"

#include <errno.h>
#include <math.h>

#include "base/checked.h"

/* As runc 1.3.2 and crun 1.23 do: a curve through the least, the default and the greatest of both,
 * (2, 1), (1024, 100) and (262144, 10000). */
int64_t cgroup_terms_weight(uint64_t shares)
{
	double l, exponent;

	if (shares <= 2)
		return 1;
	if (shares >= 262144)
		return 10000;
	l = log2((double)shares);
	exponent = (l * l + 125 * l) / 612.0 - 7.0 / 34.0;
	return (int64_t)ceil(pow(10, exponent));
}

int64_t cgroup_terms_io_weight(uint16_t weight)
{
	return 1 + ((int64_t)MAX(weight, 10) - 10) * 9999 / 990;
}

int cgroup_terms_swap(int64_t limit, int64_t memory_swap, int64_t *ret_swap,
		      struct error **ret_error)
{
	if (limit == -1 && memory_swap == 0)
		*ret_swap = -1;
	else if (memory_swap == -1 || memory_swap == 0)
		*ret_swap = memory_swap;
	else if (limit <= 0)
		return error_set(ret_error, EINVAL,
				 "unable to set swap limit without memory limit");
	else if (memory_swap < limit)
		return error_set(ret_error, EINVAL, "memory+swap limit should be >= memory limit");
	else
		*ret_swap = memory_swap - limit;
	return 0;
}
