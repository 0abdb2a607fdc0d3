/* SPDX-License-Identifier: Apache-2.0 */
/* How many CPUs a limit lets a container use: see machine-plan.h. */
#include <unistd.h>

#include "base/checked.h"
#include "runtime-spec/cpu-list.h"
#include "sandbox/plan/machine-plan.h"

#define CPU_PERIOD_DEFAULT 100000u /* microseconds: Linux, cgroup-v2.rst, cpu.max */

/* Of a CPU's time; 0: no limit. */
static uint64_t quota_thousandths(const int64_t *quota, const uint64_t *period)
{
	const uint64_t each = period && *period > 0 ? *period : CPU_PERIOD_DEFAULT;
	uint64_t thousandths;

	if (!quota || *quota <= 0)
		return 0;
	if (checked_mul((uint64_t)*quota, 1000, &thousandths))
		return VM_VCPUS_MAX * 1000ULL;
	return MIN((thousandths - 1) / each + 1, VM_VCPUS_MAX * 1000ULL);
}

uint32_t plan_quota_cpus(const int64_t *quota, const uint64_t *period)
{
	return (uint32_t)(quota_thousandths(quota, period) + 999) / 1000;
}

uint64_t plan_used_cpus(const struct spec_resources *given, const struct spec_resources *instead)
{
	const int64_t *quota =
	    instead && instead->cpu.quota ? instead->cpu.quota : given->cpu.quota;
	const uint64_t *period =
	    instead && instead->cpu.period ? instead->cpu.period : given->cpu.period;
	const bool has_set = instead && instead->cpu.cpus && *instead->cpu.cpus;
	const char *cpus = has_set ? instead->cpu.cpus : given->cpu.cpus;
	bool named[CPU_NUMBERS_MAX];
	const uint64_t by_quota = quota_thousandths(quota, period);
	const uint64_t by_set = cpus && *cpus ? cpu_list_parse(cpus, named) * 1000ULL : 0;

	return by_quota && by_set ? MIN(by_quota, by_set) : MAX(by_quota, by_set);
}

void plan_max_vcpus(const struct settings *settings, struct vm_config *config)
{
	const uint32_t standard =
	    MAX(PLAN_MAX_VCPUS_DEFAULT, MIN(2 * config->vcpus, (uint32_t)VM_VCPUS_MAX));
	const uint32_t most =
	    settings->max_vcpus ? settings->max_vcpus : MIN(plan_host_cpus(), standard);

	if (config->accel == VM_ACCEL_KVM && most > config->vcpus)
		config->max_vcpus = most;
}

uint32_t plan_host_cpus(void)
{
	const long n_online = sysconf(_SC_NPROCESSORS_ONLN);

	return n_online > 0 ? (uint32_t)n_online : 1;
}
