/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of a container that runs, held against its machine: the vCPUs that it may come to have,
 * and its memory, which can grow to that of the host (plan-memory.c). A limit that the machine has
 * not enough for would be a promise that nobody keeps, so it is refused; one that the container had
 * from the start is not, whatever the machine has.
 *
 * A cpuset does not promise anything: it says where to run, not how much there is.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "sandbox/plan/machine-plan.h"

static int check_memory(const struct machine_plan *plan, int64_t given, int64_t wanted,
			uint64_t others, struct error **ret_error)
{
	const uint64_t room = plan_room_mib(plan), has = plan->config->memory_mib + room;
	const uint64_t taken = PLAN_OVERHEAD_MIB + (others >> 20) + room / 64;

	if (wanted <= 0 || wanted <= given || plan_memory_suffices(plan, others + (uint64_t)wanted))
		return 0;
	return error_set(ret_error, ERANGE,
			 "linux.resources.memory.limit: the machine %s %" PRIu64
			 " MiB of memory, and a container %" PRIu64
			 " of them at most: it cannot have %" PRId64 " bytes",
			 room > 0 ? "can have" : "has", has, has > taken ? has - taken : 0, wanted);
}

static int check_quota(const struct machine_plan *plan, const struct spec_resources *given,
		       const struct spec_resources *wanted, struct error **ret_error)
{
	const int64_t *quota = wanted->cpu.quota ? wanted->cpu.quota : given->cpu.quota;
	const uint64_t *period = wanted->cpu.period ? wanted->cpu.period : given->cpu.period;
	const uint32_t n_before = plan_quota_cpus(given->cpu.quota, given->cpu.period);
	const uint32_t n = plan_quota_cpus(quota, period);
	const uint32_t most = vm_config_max_vcpus(plan->config);

	if (n <= most || n <= n_before || most >= plan_host_cpus())
		return 0;
	return error_set(ret_error, ERANGE,
			 "linux.resources.cpu: a quota of %" PRId64 " us is for %" PRIu32
			 " CPUs, and the machine has %" PRIu32 " at most",
			 *quota, n, most);
}

int plan_update_check(const struct machine_plan *plan, const struct spec_resources *given,
		      const struct spec_resources *wanted, uint64_t others,
		      struct error **ret_error)
{
	const int64_t before = given->memory.limit ? *given->memory.limit : 0;

	if (wanted->memory.limit &&
	    check_memory(plan, before, *wanted->memory.limit, others, ret_error) < 0)
		return -1;
	if (wanted->cpu.quota || wanted->cpu.period)
		return check_quota(plan, given, wanted, ret_error);
	return 0;
}

void plan_update_note(struct spec_resources *given, struct spec_resources *wanted)
{
	if (wanted->cpu.quota) {
		free(given->cpu.quota);
		given->cpu.quota = TAKE_PTR(wanted->cpu.quota);
	}
	if (wanted->cpu.period) {
		free(given->cpu.period);
		given->cpu.period = TAKE_PTR(wanted->cpu.period);
	}
	if (wanted->cpu.cpus && *wanted->cpu.cpus) {
		free(given->cpu.cpus);
		given->cpu.cpus = TAKE_PTR(wanted->cpu.cpus);
	}
}
