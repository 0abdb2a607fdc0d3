/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's cgroup on the host, as its machine's plan has it (host/cgroup-place.h). */
#pragma once

#include "base/error.h"
#include "host/cgroup-place.h"
#include "sandbox/plan/machine-plan.h"

/* Makes it, with its limits but for the quota; its note is in `directory`.  *ret_place may be
 * without any directory: then the sandbox is where the task server is. */
int vmm_cgroup_make(const struct plan_cgroup *plan, const char *directory,
		    struct cgroup_place **ret_place, struct error **ret_error);
/* The machine has gone for good; what cannot be removed is told of in the log. */
void vmm_cgroup_remove(const char *directory);
/* New limits of the container that the machine was made for. */
int vmm_cgroup_update(const struct plan_cgroup *plan, const struct cgroup_place *place,
		      const struct spec_resources *resources, struct error **ret_error);
