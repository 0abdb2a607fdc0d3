/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's cgroup on the host: which one, and its limits (host/cgroup-values.h). */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "host/cgroup-scope.h"
#include "host/mounts.h"
#include "runtime-spec/cgroup-terms.h"
#include "sandbox/plan/machine-plan.h"

#define MIB (UINT64_C(1) << 20)
/* Kernel objects of a file that the guest knows (how many: vmm/share.c): struct file, dentry and
 * inode. */
#define NODE_BYTES 1536
/* The VMM beside them: its own memory, socket buffers, page tables of the guest's. */
#define VMM_BYTES (128 * MIB)
/* QEMU, and the largest buffer for translated code that it takes by itself. */
#define QEMU_BYTES (1280 * MIB)

/* What is written there is the sandbox's memory as well. */
static bool writes_memory(const struct machine_plan *plan)
{
	for (size_t i = 0; i < plan->stage.n_binds; i++) {
		const struct stage_bind *bind = &plan->stage.binds[i];

		if (!bind->readonly && (bind->overlay || mounts_in_memory(bind->source)))
			return true;
	}
	/* Of containers to come it is not known. */
	return plan->cache_by_name;
}

/* So much that no guest is killed for what it may do: its memory, what the VMM holds for it, and
 * what it writes to a tmpfs of the host's as it might to one of its own. */
static uint64_t find_room(const struct machine_plan *plan, int64_t limit)
{
	const uint64_t memory = plan->config->memory_mib * MIB;
	uint64_t bytes = memory + memory / 256 + VMM_BYTES;
	struct rlimit files;

	if (plan->config->accel == VM_ACCEL_TCG)
		bytes += QEMU_BYTES;
	if (plan->share && getrlimit(RLIMIT_NOFILE, &files) == 0)
		bytes += MIN((uint64_t)files.rlim_max / 2, memory / 1024) * NODE_BYTES;
	if (limit > 0 && writes_memory(plan))
		bytes += (uint64_t)limit;
	return bytes;
}

/* A path in systemd's form is for systemd, which containerd says of its own runtimes alone. */
static void choose_manager(const char *asked, struct plan_cgroup *cgroup)
{
	cgroup->disabled = strcmp(asked, "disabled") == 0;
	cgroup->systemd = strcmp(asked, "systemd") == 0 ||
			  (!asked[0] && cgroup->path && cgroup_terms_is_systemd(cgroup->path) &&
			   cgroup_scope_available());
	if (cgroup->systemd && !cgroup->path)
		cgroup->path = xasprintf(":supermachine:%s", cgroup->id);
}

int plan_cgroup_read(const struct machine_plan_request *request, struct machine_plan *plan,
		     struct error **ret_error)
{
	const struct spec_linux *linux_ = request->spec->has_linux ? &request->spec->linux_ : NULL;
	const struct spec_resources *resources =
	    linux_ && linux_->has_resources ? &linux_->resources : NULL;
	const int64_t *limit = resources ? resources->memory.limit : NULL;
	struct plan_cgroup *cgroup = &plan->cgroup;
	struct pod_size pod;

	if (plan_pod_size(request->spec, &pod, ret_error) < 0)
		return -1;
	cgroup->id = xstrdup(request->id);
	if (linux_ && linux_->cgroups_path && linux_->cgroups_path[0])
		cgroup->path = xstrdup(linux_->cgroups_path);
	choose_manager(request->cgroup_manager ? request->cgroup_manager : "", cgroup);
	/* A pause container's weight is the least that there is. */
	cgroup->room.pod = !request->container || plan_is_pod(request->spec);
	if (resources && resources->cpu.shares && *resources->cpu.shares && !cgroup->room.pod)
		cgroup->weight = (uint64_t)cgroup_terms_weight(*resources->cpu.shares);
	cgroup->room.memory = find_room(plan, MAX(pod.memory_bytes, limit ? *limit : 0));
	return plan_cgroup_fit(request->spec, plan, ret_error);
}

int plan_cgroup_fit(const struct spec *spec, struct machine_plan *plan, struct error **ret_error)
{
	const struct spec_resources *resources =
	    spec->has_linux && spec->linux_.has_resources ? &spec->linux_.resources : NULL;
	struct plan_cgroup *cgroup = &plan->cgroup;

	cgroup_values_done(&cgroup->at_making);
	cgroup_values_done(&cgroup->when_up);
	if (cgroup_values_read(resources, &cgroup->room, CGROUP_AT_MAKING, &cgroup->at_making,
			       ret_error) < 0)
		return -1;
	return cgroup_values_read(resources, &cgroup->room, CGROUP_WHEN_UP, &cgroup->when_up,
				  ret_error);
}

void plan_cgroup_done(struct plan_cgroup *cgroup)
{
	free(cgroup->path);
	free(cgroup->id);
	cgroup_values_done(&cgroup->at_making);
	cgroup_values_done(&cgroup->when_up);
}
