/* SPDX-License-Identifier: Apache-2.0 */
/* linux.resources in the files of a container's cgroup (runtime-spec/cgroup-terms.h). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/cgroup.h"
#include "agent/cpuset.h"
#include "base/alloc.h"
#include "base/checked.h"
#include "runtime-spec/cgroup-terms.h"

static int write_number(const struct cgroup *cgroup, const char *file, int64_t value,
			struct error **ret_error)
{
	char text[32] = "max";

	if (value >= 0)
		(void)snprintf(text, sizeof(text), "%" PRId64, value);
	return cgroup_write(cgroup, file, text, ret_error);
}

static bool has_file(const struct cgroup *cgroup, const char *file)
{
	return faccessat(cgroup->fd, file, F_OK, 0) == 0;
}

static int set_swap(const struct cgroup *cgroup, int64_t limit, int64_t memory_swap,
		    struct error **ret_error)
{
	int64_t swap = 0;

	if (cgroup_terms_swap(limit, memory_swap, &swap, ret_error) < 0)
		return -1;
	/* Memory and swap equal means no swap at all: that 0 is to be set. */
	if (swap == 0 && memory_swap <= 0)
		return 0;
	if (!has_file(cgroup, "memory.swap.max") && swap <= 0)
		return 0; /* a kernel without swap has none to limit */
	return write_number(cgroup, "memory.swap.max", swap, ret_error);
}

/*
 * cgroup v2 takes a limit below what is in use, and then kills. cgroup v1 reclaims, or refuses:
 * so does runc there, and so do we. checkBeforeUpdate forbids the attempt.
 */
static int check_memory_limit(const struct cgroup *cgroup, uint64_t limit, bool reclaim,
			      struct error **ret_error)
{
	uint64_t usage = cgroup_read_number(cgroup, "memory.current", 0);
	char excess[32];

	if (usage > limit && reclaim) {
		(void)snprintf(excess, sizeof(excess), "%" PRIu64, usage - limit);
		(void)cgroup_write(cgroup, "memory.reclaim", excess, NULL);
		usage = cgroup_read_number(cgroup, "memory.current", 0);
	}
	if (usage <= limit)
		return 0;
	return error_set(ret_error, EBUSY,
			 "unable to set memory limit to %" PRIu64 " (current usage: %" PRIu64
			 ", peak usage: %" PRIu64 ")",
			 limit, usage, cgroup_read_number(cgroup, "memory.peak", usage));
}

static int set_memory(const struct cgroup *cgroup, const struct spec_resources *resources,
		      struct error **ret_error)
{
	int64_t limit = resources->memory.limit ? *resources->memory.limit : 0;
	int64_t swap = resources->memory.swap ? *resources->memory.swap : 0;
	int64_t limit_now = limit;
	const int64_t *reservation = resources->memory.reservation;

	if (limit > 0 && check_memory_limit(cgroup, (uint64_t)limit,
					    !resources->memory.check_before_update, ret_error) < 0)
		return -1;
	/* An update of the sum alone is about the limit that is in force. */
	if (limit == 0 && swap > 0)
		limit_now = (int64_t)(cgroup_read_number(cgroup, "memory.max", 0) & INT64_MAX);
	if (set_swap(cgroup, limit_now, swap, ret_error) < 0)
		return -1;
	if (limit != 0 && write_number(cgroup, "memory.max", limit, ret_error) < 0)
		return -1;
	if (reservation && *reservation != 0)
		return write_number(cgroup, "memory.low", *reservation, ret_error);
	return 0;
}

/* What is not given stays as it is: an update may name one of the two. */
static int set_cpu_max(const struct cgroup *cgroup, const struct spec_resources *resources,
		       struct error **ret_error)
{
	int64_t quota = resources->cpu.quota ? *resources->cpu.quota : 0;
	uint64_t period = resources->cpu.period ? *resources->cpu.period : 0;
	_cleanup_free_ char *now = cgroup_read(cgroup, "cpu.max");
	int64_t quota_now = -1;
	uint64_t period_now = 100000;
	char text[64];

	if (quota == 0 && period == 0)
		return 0;
	if (now && strncmp(now, "max", 3) == 0)
		(void)sscanf(now, "max %" SCNu64, &period_now);
	else if (now)
		(void)sscanf(now, "%" SCNd64 " %" SCNu64, &quota_now, &period_now);
	if (quota == 0)
		quota = quota_now;
	if (period == 0)
		period = period_now;
	if (quota > 0)
		(void)snprintf(text, sizeof(text), "%" PRId64 " %" PRIu64, quota, period);
	else
		(void)snprintf(text, sizeof(text), "max %" PRIu64, period);
	return cgroup_write(cgroup, "cpu.max", text, ret_error);
}

static int set_cpu(const struct cgroup *cgroup, const struct spec_resources *resources,
		   struct error **ret_error)
{
	if (resources->cpu.idle &&
	    write_number(cgroup, "cpu.idle", *resources->cpu.idle, ret_error) < 0)
		return -1;
	if (resources->cpu.shares && *resources->cpu.shares != 0) {
		/* An idle cgroup's weight cannot be set. */
		if (!(resources->cpu.idle && *resources->cpu.idle == 1) &&
		    write_number(cgroup, "cpu.weight", cgroup_terms_weight(*resources->cpu.shares),
				 ret_error) < 0)
			return -1;
	}
	if (set_cpu_max(cgroup, resources, ret_error) < 0)
		return -1;
	/* The burst may not exceed the quota: it comes after. */
	if (resources->cpu.burst)
		return write_number(cgroup, "cpu.max.burst", (int64_t)*resources->cpu.burst,
				    ret_error);
	return 0;
}

/* file: "cpuset.cpus" or "cpuset.mems"; property: what in config.json the list comes from. */
static int write_cpuset(const struct cgroup *cgroup, const char *file, const char *list,
			const char *property, struct error **ret_error)
{
	long n = strcmp(file, "cpuset.mems") == 0 ? 1 : sysconf(_SC_NPROCESSORS_ONLN);
	_cleanup_free_ char *mapped = NULL;

	if (cpuset_map(list, (unsigned int)MAX(n, 1), property, &mapped, ret_error) < 0)
		return -1;
	return cgroup_write(cgroup, file, mapped, ret_error);
}

const char *cgroup_cpuset(const struct spec_resources *resources)
{
	const char *list = resources->cpu.cpus;

	for (size_t i = 0; i < resources->n_unified; i++)
		if (strcmp(resources->unified[i].key, "cpuset.cpus") == 0)
			list = resources->unified[i].value;
	return list && *list ? list : NULL;
}

/* Linux 6.1 changes cpusets some time after a CPU has come or gone, but before anybody writes to
 * one: that is why one without a list is written, too. */
int cgroup_renew_cpuset(const struct cgroup *cgroup, const char *list, struct error **ret_error)
{
	if (!has_file(cgroup, "cpuset.cpus"))
		return 0;
	if (list)
		return write_cpuset(cgroup, "cpuset.cpus", list, "linux.resources.cpu.cpus",
				    ret_error);
	return cgroup_write(cgroup, "cpuset.cpus", "\n", ret_error);
}

static int set_cpuset(const struct cgroup *cgroup, const struct spec_resources *resources,
		      struct error **ret_error)
{
	const char *cpus = resources->cpu.cpus, *mems = resources->cpu.mems;

	if (cpus && *cpus &&
	    write_cpuset(cgroup, "cpuset.cpus", cpus, "linux.resources.cpu.cpus", ret_error) < 0)
		return -1;
	if (mems && *mems &&
	    write_cpuset(cgroup, "cpuset.mems", mems, "linux.resources.cpu.mems", ret_error) < 0)
		return -1;
	return 0;
}

/* The host's devices are not the guest's: a rule for one that is not here is
 * passed over. */
static bool has_device(int64_t major, int64_t minor)
{
	_cleanup_free_ char *path = xasprintf("/sys/dev/block/%" PRId64 ":%" PRId64, major, minor);

	return access(path, F_OK) == 0;
}

static int set_throttle(const struct cgroup *cgroup, const struct spec_throttle_device *devices,
			size_t n_devices, const char *key, struct error **ret_error)
{
	for (size_t i = 0; i < n_devices; i++) {
		_cleanup_free_ char *line = NULL;

		if (!has_device(devices[i].major, devices[i].minor))
			continue;
		if (devices[i].rate == 0)
			line = xasprintf("%" PRId64 ":%" PRId64 " %s=max", devices[i].major,
					 devices[i].minor, key);
		else
			line = xasprintf("%" PRId64 ":%" PRId64 " %s=%" PRIu64, devices[i].major,
					 devices[i].minor, key, devices[i].rate);
		if (cgroup_write(cgroup, "io.max", line, ret_error) < 0)
			return -1;
	}
	return 0;
}

static int set_io(const struct cgroup *cgroup, const struct spec_resources *resources,
		  struct error **ret_error)
{
	uint16_t weight = resources->block_io.weight;

	if (resources->block_io.has_weight && weight != 0) {
		if (has_file(cgroup, "io.bfq.weight")) {
			if (write_number(cgroup, "io.bfq.weight", weight, ret_error) < 0)
				return -1;
		} else if (has_file(cgroup, "io.weight")) {
			if (write_number(cgroup, "io.weight", cgroup_terms_io_weight(weight),
					 ret_error) < 0)
				return -1;
		}
	}
	if (set_throttle(cgroup, resources->block_io.read_bps, resources->block_io.n_read_bps,
			 "rbps", ret_error) < 0 ||
	    set_throttle(cgroup, resources->block_io.write_bps, resources->block_io.n_write_bps,
			 "wbps", ret_error) < 0 ||
	    set_throttle(cgroup, resources->block_io.read_iops, resources->block_io.n_read_iops,
			 "riops", ret_error) < 0)
		return -1;
	return set_throttle(cgroup, resources->block_io.write_iops,
			    resources->block_io.n_write_iops, "wiops", ret_error);
}

static int set_hugetlb(const struct cgroup *cgroup, const struct spec_resources *resources,
		       struct error **ret_error)
{
	for (size_t i = 0; i < resources->n_hugepage_limits; i++) {
		const struct spec_hugepage_limit *limit = &resources->hugepage_limits[i];
		_cleanup_free_ char *file = xasprintf("hugetlb.%s.max", limit->page_size);
		_cleanup_free_ char *reserved = xasprintf("hugetlb.%s.rsvd.max", limit->page_size);
		char text[32];

		if (strchr(limit->page_size, '/'))
			return error_set(ret_error, EINVAL, "\"%s\" is not a page size",
					 limit->page_size);
		(void)snprintf(text, sizeof(text), "%" PRIu64, limit->limit);
		if (cgroup_write(cgroup, file, text, ret_error) < 0)
			return -1;
		if (has_file(cgroup, reserved) &&
		    cgroup_write(cgroup, reserved, text, ret_error) < 0)
			return -1;
	}
	return 0;
}

static int set_unified(const struct cgroup *cgroup, const struct spec_resources *resources,
		       struct error **ret_error)
{
	for (size_t i = 0; i < resources->n_unified; i++) {
		const char *key = resources->unified[i].key, *value = resources->unified[i].value;
		bool cpuset = strcmp(key, "cpuset.cpus") == 0 || strcmp(key, "cpuset.mems") == 0;

		if (strchr(key, '/') || key[0] == '.' || key[0] == '\0' ||
		    strncmp(key, "cgroup.", 7) == 0)
			return error_set(ret_error, EINVAL,
					 "unified resource \"%s\" must be a file name (no slashes)",
					 key);
		if ((cpuset && *value ? write_cpuset(cgroup, key, value, key, ret_error)
				      : cgroup_write(cgroup, key, value, ret_error)) < 0)
			return error_wrap(ret_error, "unified resource \"%s\" can't be set", key);
	}
	return 0;
}

int cgroup_set_limits(const struct cgroup *cgroup, const struct spec_resources *resources,
		      struct error **ret_error)
{
	const int64_t *pids = resources->pids_limit;

	/* runc: 0 is "not given" for pids */
	if (pids && *pids != 0 && write_number(cgroup, "pids.max", *pids, ret_error) < 0)
		return -1;
	if (set_memory(cgroup, resources, ret_error) < 0 ||
	    set_cpu(cgroup, resources, ret_error) < 0 ||
	    set_cpuset(cgroup, resources, ret_error) < 0 ||
	    set_io(cgroup, resources, ret_error) < 0 ||
	    set_hugetlb(cgroup, resources, ret_error) < 0)
		return -1;
	return set_unified(cgroup, resources, ret_error);
}
