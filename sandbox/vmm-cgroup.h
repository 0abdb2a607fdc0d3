/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's cgroup on the host, as its machine's plan has it (host/cgroup-place.h). */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "host/cgroup-place.h"
#include "sandbox/plan/machine-plan.h"

struct vmm_cgroup {
	const struct plan_cgroup *plan;
	/* Maybe without any directory: then the sandbox is where the task server is. */
	struct cgroup_place *place;
	/* A process that is in it until others are: systemd removes what is empty. */
	pid_t holder;
	int holder_fd;
	bool used; /* the machine's processes are there */
};
#define VMM_CGROUP_NONE ((struct vmm_cgroup){ .holder_fd = -1 })

/* Makes it, with its limits but for the quota; its note is in `directory`.  vmm_cgroup_done(). */
int vmm_cgroup_make(const struct plan_cgroup *plan, const char *directory,
		    struct vmm_cgroup *ret_cgroup, struct error **ret_error);
/* The machine's processes are there; without this, vmm_cgroup_done() undoes the making. */
void vmm_cgroup_release(struct vmm_cgroup *cgroup);
void vmm_cgroup_done(struct vmm_cgroup *cgroup);
/* The machine has gone for good; what cannot be removed is told of in the log. */
void vmm_cgroup_remove(const char *directory);
/* The machine is up: its quota. */
int vmm_cgroup_limit(const struct vmm_cgroup *cgroup, struct error **ret_error);
/* New limits of the container that the machine was made for. */
int vmm_cgroup_update(const struct vmm_cgroup *cgroup, const struct spec_resources *resources,
		      struct error **ret_error);
