/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU and memory node numbers of the host, in the guest's terms.
 *
 * A caller's cpuset names CPUs of the host.  The guest's vCPUs are numbered from 0,
 * whichever host CPUs they run on, and it has one memory node.  So a cpuset can only
 * say how many CPUs the container uses.
 */
#pragma once

#include "base/error.h"

/* For a list such as "0-3,7" with k members, the first k of the guest's n (> 0) CPUs
 * or nodes, or all of them: "0-4", "0". EINVAL for a text that is not such a list; `name` is the
 * property that it comes from, for the error. Caller frees. */
int cpuset_map(const char *list, unsigned int n, const char *name, char **ret_list,
	       struct error **ret_error);
