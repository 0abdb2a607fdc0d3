/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox's limits as files: see cgroup-values.h. */
#include "host/cgroup-values.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "runtime-spec/cgroup-terms.h"

/* Threads of the VMM (vmm/jail-user.c: THREADS_MAX), of QEMU and of passt. */
#define PIDS_MIN 1024

/* text becomes the list's. */
static void add(struct cgroup_values *values, bool v2, const char *controller, const char *file,
		char *text)
{
	values->values =
	    xreallocarray(values->values, values->n_values + 1, sizeof(values->values[0]));
	values->values[values->n_values++] =
	    (struct cgroup_value){ .controller = controller, .file = file, .text = text, .v2 = v2 };
}

static void add_optional(struct cgroup_values *values, bool v2, const char *controller,
			 const char *file, char *text)
{
	add(values, v2, controller, file, text);
	values->values[values->n_values - 1].optional = true;
}

static char *number(int64_t value)
{
	return xasprintf("%" PRId64, value);
}

/* v1 writes -1 where there is no limit. */
static char *number_v2(int64_t value)
{
	return value < 0 ? xstrdup("max") : number(value);
}

/* No room is too small for another container of the sandbox, or for the VMM. */
static int64_t with_room(int64_t limit, const struct cgroup_room *room)
{
	return limit < 0 ? -1 : (int64_t)MIN(room->memory, (uint64_t)INT64_MAX);
}

static int add_memory(const struct spec_resources *resources, const struct cgroup_room *room,
		      struct cgroup_values *values, struct error **ret_error)
{
	const int64_t limit = resources->memory.limit ? *resources->memory.limit : 0;
	const int64_t swap = resources->memory.swap ? *resources->memory.swap : 0;
	const int64_t *reservation = resources->memory.reservation;
	const int64_t most = with_room(limit, room);
	int64_t more = 0;

	/* (An update of the sum alone is about a limit that is not known here.) */
	if (limit != 0 && cgroup_terms_swap(limit, swap, &more, ret_error) < 0)
		return -1;
	if (limit != 0) {
		add(values, true, "memory", "memory.max", number_v2(most));
		/* v1 takes no limit above that of both, and none of both below it: one of the
		 * first two may be refused, and is the last one's to make good. */
		add_optional(values, false, "memory", "memory.limit_in_bytes", number(most));
	}
	if (limit != 0 && (more != 0 || swap > 0)) {
		add_optional(values, true, "memory", "memory.swap.max", number_v2(more));
		add_optional(
		    values, false, "memory", "memory.memsw.limit_in_bytes",
		    number(most < 0 || more < 0 || more > INT64_MAX - most ? -1 : most + more));
	}
	if (limit != 0)
		add(values, false, "memory", "memory.limit_in_bytes", number(most));
	if (reservation && *reservation != 0) {
		add(values, true, "memory", "memory.low", number_v2(*reservation));
		add(values, false, "memory", "memory.soft_limit_in_bytes", number(*reservation));
	}
	return 0;
}

static void add_weight(const struct spec_resources *resources, struct cgroup_values *values)
{
	const uint64_t shares = resources->cpu.shares ? *resources->cpu.shares : 0;
	const int64_t *idle = resources->cpu.idle;

	if (idle) {
		add_optional(values, true, "cpu", "cpu.idle", number(*idle));
		add_optional(values, false, "cpu", "cpu.idle", number(*idle));
	}
	/* An idle cgroup's weight cannot be set. */
	if (shares == 0 || (idle && *idle == 1))
		return;
	add(values, true, "cpu", "cpu.weight", number(cgroup_terms_weight(shares)));
	add(values, false, "cpu", "cpu.shares", xasprintf("%" PRIu64, shares));
}

/* What is not given stays as it is (cgroup-v2.rst: one number alone is the quota). */
static void add_quota(const struct spec_resources *resources, struct cgroup_values *values)
{
	const int64_t quota = resources->cpu.quota ? *resources->cpu.quota : 0;
	const uint64_t period = resources->cpu.period ? *resources->cpu.period : 0;
	_cleanup_free_ char *both = number_v2(quota > 0 ? quota : -1);

	/* v1 takes neither one that lets it use more of a processor than its parent may, together
	 * with what the other one still is: the period may be refused, until the quota is set. */
	if (period != 0 && quota != 0)
		add_optional(values, false, "cpu", "cpu.cfs_period_us",
			     xasprintf("%" PRIu64, period));
	if (quota != 0)
		add(values, false, "cpu", "cpu.cfs_quota_us", number(MAX(quota, -1)));
	if (period != 0)
		add(values, false, "cpu", "cpu.cfs_period_us", xasprintf("%" PRIu64, period));
	if (quota != 0) {
		add(values, true, "cpu", "cpu.max",
		    period ? xasprintf("%s %" PRIu64, both, period) : xstrdup(both));
	}
	if (!resources->cpu.burst)
		return;
	/* It may not exceed the quota. */
	add_optional(values, true, "cpu", "cpu.max.burst",
		     xasprintf("%" PRIu64, *resources->cpu.burst));
	add_optional(values, false, "cpu", "cpu.cfs_burst_us",
		     xasprintf("%" PRIu64, *resources->cpu.burst));
}

/* Of v1 alone; v2 has no such limits.  Neither may be more than the other allows, as it is. */
static void add_realtime(const struct spec_resources *resources, struct cgroup_values *values)
{
	const uint64_t period =
	    resources->cpu.realtime_period ? *resources->cpu.realtime_period : 0;
	const int64_t runtime =
	    resources->cpu.realtime_runtime ? *resources->cpu.realtime_runtime : 0;

	if (period != 0 && runtime != 0)
		add_optional(values, false, "cpu", "cpu.rt_period_us",
			     xasprintf("%" PRIu64, period));
	if (runtime != 0)
		add(values, false, "cpu", "cpu.rt_runtime_us", number(runtime));
	if (period != 0)
		add(values, false, "cpu", "cpu.rt_period_us", xasprintf("%" PRIu64, period));
}

/* (Of CPUs that the VMM cannot run on, its start tells: vmm-spawn.c; of memory nodes that the host
 * has not, nobody: those of the guest are others.) */
static void add_cpuset(const struct spec_resources *resources, struct cgroup_values *values)
{
	for (unsigned v2 = 0; v2 < 2; v2++) {
		if (resources->cpu.cpus && resources->cpu.cpus[0])
			add_optional(values, v2, "cpuset", "cpuset.cpus",
				     xstrdup(resources->cpu.cpus));
		if (resources->cpu.mems && resources->cpu.mems[0])
			add_optional(values, v2, "cpuset", "cpuset.mems",
				     xstrdup(resources->cpu.mems));
	}
}

static void add_pids(int64_t limit, struct cgroup_values *values)
{
	add(values, false, "pids", "pids.max", number(MAX(limit, PIDS_MIN)));
	add(values, true, "pids", "pids.max", number(MAX(limit, PIDS_MIN)));
}

/* file: of v1; key: in v2's io.max. */
static void add_throttle(const struct spec_throttle_device *devices, size_t n, const char *file,
			 const char *key, struct cgroup_values *values)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *device =
		    xasprintf("%" PRId64 ":%" PRId64, devices[i].major, devices[i].minor);
		_cleanup_free_ char *rate = xasprintf("%" PRIu64, devices[i].rate);

		add(values, false, "blkio", file, xasprintf("%s %s", device, rate));
		add(values, true, "io", "io.max",
		    xasprintf("%s %s=%s", device, key, devices[i].rate ? rate : "max"));
	}
}

/* Of a scheduler that the host's disks may not have. */
static void add_io_weight(uint16_t weight, struct cgroup_values *values)
{
	add_optional(values, false, "blkio", "blkio.weight", number(weight));
	add_optional(values, false, "blkio", "blkio.bfq.weight", number(weight));
	add_optional(values, true, "io", "io.bfq.weight", number(weight));
	add_optional(values, true, "io", "io.weight", number(cgroup_terms_io_weight(weight)));
}

/* After the weight of all, which sets them back. */
static void add_device_weight(const struct spec_weight_device *device, struct cgroup_values *values)
{
	_cleanup_free_ char *numbers =
	    xasprintf("%" PRId64 ":%" PRId64, device->major, device->minor);

	add_optional(values, false, "blkio", "blkio.weight_device",
		     xasprintf("%s %u", numbers, device->weight));
	add_optional(values, false, "blkio", "blkio.bfq.weight_device",
		     xasprintf("%s %u", numbers, device->weight));
	add_optional(values, true, "io", "io.bfq.weight",
		     xasprintf("%s %u", numbers, device->weight));
}

static void add_io(const struct spec_resources *resources, struct cgroup_values *values)
{
	const __typeof__(resources->block_io) *io = &resources->block_io;

	if (io->has_weight && io->weight != 0)
		add_io_weight(io->weight, values);
	for (size_t i = 0; i < io->n_weight_devices; i++)
		if (io->weight_devices[i].has_weight && io->weight_devices[i].weight != 0)
			add_device_weight(&io->weight_devices[i], values);
	add_throttle(io->read_bps, io->n_read_bps, "blkio.throttle.read_bps_device", "rbps",
		     values);
	add_throttle(io->write_bps, io->n_write_bps, "blkio.throttle.write_bps_device", "wbps",
		     values);
	add_throttle(io->read_iops, io->n_read_iops, "blkio.throttle.read_iops_device", "riops",
		     values);
	add_throttle(io->write_iops, io->n_write_iops, "blkio.throttle.write_iops_device", "wiops",
		     values);
}

int cgroup_values_read(const struct spec_resources *resources, const struct cgroup_room *room,
		       enum cgroup_phase phase, struct cgroup_values *ret_values,
		       struct error **ret_error)
{
	static const struct spec_resources none;
	_cleanup_cgroup_values_ struct cgroup_values values = { 0 };

	if (!resources)
		resources = &none;
	if (phase != CGROUP_WHEN_UP) {
		if (resources->pids_limit || phase == CGROUP_AT_MAKING)
			add_pids(resources->pids_limit ? *resources->pids_limit : 0, &values);
		if (add_memory(resources, room, &values, ret_error) < 0)
			return -1;
		add_cpuset(resources, &values);
		add_realtime(resources, &values);
		if (!room->pod)
			add_weight(resources, &values);
		add_io(resources, &values);
	}
	if (phase != CGROUP_AT_MAKING)
		add_quota(resources, &values);
	*ret_values = values;
	values = (struct cgroup_values){ 0 };
	return 0;
}

void cgroup_values_done(struct cgroup_values *values)
{
	for (size_t i = 0; i < values->n_values; i++)
		free(values->values[i].text);
	free(values->values);
	*values = (struct cgroup_values){ 0 };
}
