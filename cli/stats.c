/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.containerd.cgroups.v2.Metrics → runc's events JSON (types/events of runc), its
 * conversion for cgroup v2: times in nanoseconds, memory.cache is memory.stat's file.
 */
#include "cli/stats.h"

#include <errno.h>

#include "base/json.h"
#include "ttrpc/any.h"

#define USEC_NS 1000
#define METRICS_TYPE "io.containerd.cgroups.v2.Metrics"

static void put_cpu(struct json_writer *writer, const Task__CPUStat *cpu)
{
	static const Task__CPUStat none = TASK__CPUSTAT__INIT;

	cpu = cpu ? cpu : &none;
	json_put_key(writer, "cpu");
	json_begin_object(writer);
	json_put_key(writer, "usage");
	json_begin_object(writer);
	json_put_uint64(writer, "total", cpu->usage_usec * USEC_NS);
	json_put_uint64(writer, "kernel", cpu->system_usec * USEC_NS);
	json_put_uint64(writer, "user", cpu->user_usec * USEC_NS);
	json_end_object(writer);
	json_put_key(writer, "throttling");
	json_begin_object(writer);
	json_put_uint64(writer, "periods", cpu->nr_periods);
	json_put_uint64(writer, "throttledPeriods", cpu->nr_throttled);
	json_put_uint64(writer, "throttledTime", cpu->throttled_usec * USEC_NS);
	json_end_object(writer);
	json_end_object(writer);
}

static void put_memory_entry(struct json_writer *writer, const char *key, uint64_t limit,
			     uint64_t usage, uint64_t max, uint64_t failures)
{
	json_put_key(writer, key);
	json_begin_object(writer);
	json_put_uint64(writer, "limit", limit);
	json_put_uint64(writer, "usage", usage);
	json_put_uint64(writer, "max", max);
	json_put_uint64(writer, "failcnt", failures);
	json_end_object(writer);
}

static void put_memory_raw(struct json_writer *writer, const Task__MemoryStat *memory)
{
	const struct {
		const char *name;
		uint64_t value;
	} entries[] = {
		{ "anon", memory->anon },
		{ "file", memory->file },
		{ "kernel_stack", memory->kernel_stack },
		{ "slab", memory->slab },
		{ "sock", memory->sock },
		{ "shmem", memory->shmem },
		{ "file_mapped", memory->file_mapped },
		{ "file_dirty", memory->file_dirty },
		{ "file_writeback", memory->file_writeback },
		{ "anon_thp", memory->anon_thp },
		{ "inactive_anon", memory->inactive_anon },
		{ "active_anon", memory->active_anon },
		{ "inactive_file", memory->inactive_file },
		{ "active_file", memory->active_file },
		{ "unevictable", memory->unevictable },
		{ "slab_reclaimable", memory->slab_reclaimable },
		{ "slab_unreclaimable", memory->slab_unreclaimable },
		{ "pgfault", memory->pgfault },
		{ "pgmajfault", memory->pgmajfault },
	};

	json_put_key(writer, "raw");
	json_begin_object(writer);
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		json_put_uint64(writer, entries[i].name, entries[i].value);
	json_end_object(writer);
}

static void put_memory(struct json_writer *writer, const Task__Metrics *metrics)
{
	static const Task__MemoryStat none = TASK__MEMORY_STAT__INIT;
	const Task__MemoryStat *memory = metrics->memory ? metrics->memory : &none;

	json_put_key(writer, "memory");
	json_begin_object(writer);
	json_put_uint64(writer, "cache", memory->file);
	put_memory_entry(writer, "usage", memory->usage_limit, memory->usage, memory->max_usage,
			 metrics->memory_events ? metrics->memory_events->max : 0);
	put_memory_entry(writer, "swap", memory->swap_limit, memory->swap_usage, 0, 0);
	put_memory_entry(writer, "kernel", 0, memory->slab + memory->kernel_stack, 0, 0);
	put_memory_entry(writer, "kernelTCP", 0, memory->sock, 0, 0);
	put_memory_raw(writer, memory);
	json_end_object(writer);
}

static void put_io_entry(struct json_writer *writer, const Task__IOEntry *entry, const char *op,
			 uint64_t value)
{
	json_begin_object(writer);
	json_put_uint64(writer, "major", entry->major);
	json_put_uint64(writer, "minor", entry->minor);
	json_put_string(writer, "op", op);
	json_put_uint64(writer, "value", value);
	json_end_object(writer);
}

static void put_io(struct json_writer *writer, const Task__IOStat *io)
{
	json_put_key(writer, "blkio");
	json_begin_object(writer);
	json_put_key(writer, "ioServiceBytesRecursive");
	json_begin_array(writer);
	for (size_t i = 0; io && i < io->n_usage; i++) {
		put_io_entry(writer, io->usage[i], "Read", io->usage[i]->rbytes);
		put_io_entry(writer, io->usage[i], "Write", io->usage[i]->wbytes);
	}
	json_end_array(writer);
	json_put_key(writer, "ioServicedRecursive");
	json_begin_array(writer);
	for (size_t i = 0; io && i < io->n_usage; i++) {
		put_io_entry(writer, io->usage[i], "Read", io->usage[i]->rios);
		put_io_entry(writer, io->usage[i], "Write", io->usage[i]->wios);
	}
	json_end_array(writer);
	json_end_object(writer);
}

static struct json_writer *begin_event(const char *type, const char *id)
{
	struct json_writer *writer = json_writer_new(false);

	json_begin_object(writer);
	json_put_string(writer, "type", type);
	json_put_string(writer, "id", id);
	return writer;
}

char *stats_event(const char *id, const Task__Metrics *metrics)
{
	struct json_writer *writer = begin_event("stats", id);

	json_put_key(writer, "data");
	json_begin_object(writer);
	put_cpu(writer, metrics->cpu);
	put_memory(writer, metrics);
	json_put_key(writer, "pids");
	json_begin_object(writer);
	json_put_uint64(writer, "current", metrics->pids ? metrics->pids->current : 0);
	json_put_uint64(writer, "limit", metrics->pids ? metrics->pids->limit : 0);
	json_end_object(writer);
	put_io(writer, metrics->io);
	json_put_key(writer, "hugetlb");
	json_begin_object(writer);
	json_end_object(writer);
	json_put_strv(writer, "network_interfaces", NULL);
	json_end_object(writer);
	json_end_object(writer);
	return json_writer_finish(writer, NULL);
}

char *stats_oom_event(const char *id)
{
	struct json_writer *writer = begin_event("oom", id);

	json_end_object(writer);
	return json_writer_finish(writer, NULL);
}

int stats_get(const struct handle *handle, Task__Metrics **ret_metrics, struct error **ret_error)
{
	Task__StatsRequest request = TASK__STATS_REQUEST__INIT;
	ProtobufCMessage *response = NULL;
	Task__Metrics *metrics;

	request.id = handle->id;
	if (handle_call(handle, "Stats", &request.base, &task__stats_response__descriptor,
			CALL_TIMEOUT_MS, &response, ret_error) < 0)
		return -1;
	metrics = (Task__Metrics *)any_unpack(((Task__StatsResponse *)response)->stats,
					      METRICS_TYPE, &task__metrics__descriptor);
	protobuf_c_message_free_unpacked(response, NULL);
	if (!metrics)
		return error_set(ret_error, EPROTO,
				 "the task server's statistics are not a " METRICS_TYPE);
	*ret_metrics = metrics;
	return 0;
}
