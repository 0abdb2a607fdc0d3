/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much memory a machine has for its containers' limits, and how much comes while it runs, by
 * its memory device.
 *
 * The room for it is what the host has beside the machine's own: to have it costs nothing.  It is
 * part of the machine's shape, so a restored machine has as much as the one that was saved.
 */
#include <unistd.h>

#include "base/checked.h"
#include "sandbox/plan/machine-plan.h"

#define MIB (UINT64_C(1) << 20)
/* The kernel describes each page of 4096 bytes in 64. */
#define MEMORY_PER_DESCRIPTION 64
#define STEP_MIB 2 /* the device's size is even */

uint64_t plan_host_mib(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) >> 20;
}

uint64_t plan_limit_mib(int64_t limit)
{
	uint64_t mib;

	if (limit <= 0)
		return 0;
	mib = ((uint64_t)limit + (1 << 20) - 1) >> 20;
	return MIN(mib + PLAN_OVERHEAD_MIB, plan_host_mib());
}

static struct vm_device *find_device(const struct machine_plan *plan)
{
	struct vm_config *config = plan->config;

	for (size_t i = 0; i < config->n_devices; i++)
		if (config->devices[i].type == VM_DEVICE_MEM)
			return &config->devices[i];
	return NULL;
}

void plan_add_room(struct machine_plan *plan)
{
	const uint64_t host = plan_host_mib(), own = plan->config->memory_mib;
	const uint64_t room = host > own ? (host - own) / STEP_MIB * STEP_MIB : 0;

	if (plan->config->accel != VM_ACCEL_KVM)
		return;
	/* None at all would be another shape. */
	vm_config_add(plan->config, VM_DEVICE_MEM)->mem.max_mib =
	    MIN(MAX(room, (uint64_t)VM_MEM_MIB_MIN), (uint64_t)VM_MEM_MIB_MAX);
}

uint64_t plan_room_mib(const struct machine_plan *plan)
{
	const struct vm_device *device = find_device(plan);

	return device ? device->mem.max_mib : 0;
}

void plan_set_room(struct machine_plan *plan, uint64_t mib)
{
	struct vm_device *device = find_device(plan);

	if (device)
		device->mem.max_mib = mib;
}

/* What limits of so many bytes take beside the machine's own memory. */
static uint64_t lacking_mib(const struct machine_plan *plan, uint64_t limits)
{
	const uint64_t own = plan->config->memory_mib;
	const uint64_t wanted = limits / MIB + (limits % MIB != 0) + PLAN_OVERHEAD_MIB;
	const uint64_t more = wanted > own ? wanted - own : 0;

	return align_up(more + align_up(more, MEMORY_PER_DESCRIPTION) / MEMORY_PER_DESCRIPTION,
			STEP_MIB);
}

uint64_t plan_growth_mib(const struct machine_plan *plan, uint64_t limits)
{
	return MIN(lacking_mib(plan, limits), plan_room_mib(plan));
}

bool plan_memory_suffices(const struct machine_plan *plan, uint64_t limits)
{
	return plan->config->memory_mib >= plan_host_mib() ||
	       lacking_mib(plan, limits) <= plan_room_mib(plan);
}

/* As plan-cgroup.c has it for the machine's own. */
static uint64_t host_bytes(uint64_t mib)
{
	return mib * MIB + mib * MIB / 256;
}

void plan_note_growth(struct machine_plan *plan, uint64_t mib)
{
	plan->cgroup.room.memory =
	    plan->cgroup.room.memory + host_bytes(mib) - host_bytes(plan->grown_mib);
	plan->grown_mib = mib;
}
