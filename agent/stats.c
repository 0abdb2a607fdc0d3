/* SPDX-License-Identifier: Apache-2.0 */
/* task.Metrics from a container's cgroup files: see container.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/container.h"
#include "base/alloc.h"
#include "protocol/task.pb-c.h"

#define IO_DEVICES_MAX 64

static void fill_pids(const struct cgroup *cgroup, Task__PidsStat *pids)
{
	uint64_t limit = cgroup_read_number(cgroup, "pids.max", 0);

	pids->current = cgroup_read_number(cgroup, "pids.current", 0);
	pids->limit = limit == UINT64_MAX ? 0 : limit; /* as containerd: 0 is none */
}

static void fill_cpu(const struct cgroup *cgroup, Task__CPUStat *cpu)
{
	_cleanup_free_ char *text = cgroup_read(cgroup, "cpu.stat");

	cpu->usage_usec = cgroup_key(text, "usage_usec");
	cpu->user_usec = cgroup_key(text, "user_usec");
	cpu->system_usec = cgroup_key(text, "system_usec");
	cpu->nr_periods = cgroup_key(text, "nr_periods");
	cpu->nr_throttled = cgroup_key(text, "nr_throttled");
	cpu->throttled_usec = cgroup_key(text, "throttled_usec");
}

static void fill_memory(const struct cgroup *cgroup, Task__MemoryStat *memory)
{
	_cleanup_free_ char *text = cgroup_read(cgroup, "memory.stat");

	memory->anon = cgroup_key(text, "anon");
	memory->file = cgroup_key(text, "file");
	memory->kernel_stack = cgroup_key(text, "kernel_stack");
	memory->slab = cgroup_key(text, "slab");
	memory->sock = cgroup_key(text, "sock");
	memory->shmem = cgroup_key(text, "shmem");
	memory->file_mapped = cgroup_key(text, "file_mapped");
	memory->file_dirty = cgroup_key(text, "file_dirty");
	memory->file_writeback = cgroup_key(text, "file_writeback");
	memory->anon_thp = cgroup_key(text, "anon_thp");
	memory->inactive_anon = cgroup_key(text, "inactive_anon");
	memory->active_anon = cgroup_key(text, "active_anon");
	memory->inactive_file = cgroup_key(text, "inactive_file");
	memory->active_file = cgroup_key(text, "active_file");
	memory->unevictable = cgroup_key(text, "unevictable");
	memory->slab_reclaimable = cgroup_key(text, "slab_reclaimable");
	memory->slab_unreclaimable = cgroup_key(text, "slab_unreclaimable");
	memory->pgfault = cgroup_key(text, "pgfault");
	memory->pgmajfault = cgroup_key(text, "pgmajfault");
	/* Split in two since Linux 5.9; the message has the sum. */
	memory->workingset_refault = cgroup_key(text, "workingset_refault_anon") +
				     cgroup_key(text, "workingset_refault_file");
	memory->workingset_activate = cgroup_key(text, "workingset_activate_anon") +
				      cgroup_key(text, "workingset_activate_file");
	memory->workingset_nodereclaim = cgroup_key(text, "workingset_nodereclaim");
	memory->pgrefill = cgroup_key(text, "pgrefill");
	memory->pgscan = cgroup_key(text, "pgscan");
	memory->pgsteal = cgroup_key(text, "pgsteal");
	memory->pgactivate = cgroup_key(text, "pgactivate");
	memory->pgdeactivate = cgroup_key(text, "pgdeactivate");
	memory->pglazyfree = cgroup_key(text, "pglazyfree");
	memory->pglazyfreed = cgroup_key(text, "pglazyfreed");
	memory->thp_fault_alloc = cgroup_key(text, "thp_fault_alloc");
	memory->thp_collapse_alloc = cgroup_key(text, "thp_collapse_alloc");
	memory->usage = cgroup_read_number(cgroup, "memory.current", 0);
	memory->usage_limit = cgroup_read_number(cgroup, "memory.max", 0);
	memory->swap_usage = cgroup_read_number(cgroup, "memory.swap.current", 0);
	memory->swap_limit = cgroup_read_number(cgroup, "memory.swap.max", 0);
	memory->max_usage = cgroup_read_number(cgroup, "memory.peak", 0);
}

static void fill_memory_events(const struct cgroup *cgroup, Task__MemoryEvents *events)
{
	_cleanup_free_ char *text = cgroup_read(cgroup, "memory.events");

	events->low = cgroup_key(text, "low");
	events->high = cgroup_key(text, "high");
	events->max = cgroup_key(text, "max");
	events->oom = cgroup_key(text, "oom");
	events->oom_kill = cgroup_key(text, "oom_kill");
}

/* The number after "key=" in a line of a nested-keyed file. */
static uint64_t nested_key(const char *line, const char *key)
{
	const char *found = strstr(line, key);

	return found ? strtoull(found + strlen(key), NULL, 10) : 0;
}

static size_t fill_io(const struct cgroup *cgroup, Task__IOEntry *entries, Task__IOEntry **list)
{
	_cleanup_free_ char *text = cgroup_read(cgroup, "io.stat");
	size_t n = 0;
	char *rest = NULL, *line;

	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line && n < IO_DEVICES_MAX;
	     line = strtok_r(NULL, "\n", &rest)) {
		Task__IOEntry *entry = &entries[n];

		task__ioentry__init(entry);
		if (sscanf(line, "%" SCNu64 ":%" SCNu64, &entry->major, &entry->minor) != 2)
			continue;
		entry->rbytes = nested_key(line, " rbytes=");
		entry->wbytes = nested_key(line, " wbytes=");
		entry->rios = nested_key(line, " rios=");
		entry->wios = nested_key(line, " wios=");
		list[n++] = entry;
	}
	return n;
}

size_t stats_pack(const struct agent_container *container, uint8_t **ret_bytes)
{
	const struct cgroup *cgroup = container->cgroup;
	Task__Metrics metrics = TASK__METRICS__INIT;
	Task__PidsStat pids = TASK__PIDS_STAT__INIT;
	Task__CPUStat cpu = TASK__CPUSTAT__INIT;
	Task__MemoryStat memory = TASK__MEMORY_STAT__INIT;
	Task__MemoryEvents events = TASK__MEMORY_EVENTS__INIT;
	Task__IOStat io = TASK__IOSTAT__INIT;
	Task__IOEntry entries[IO_DEVICES_MAX];
	Task__IOEntry *list[IO_DEVICES_MAX];

	fill_pids(cgroup, &pids);
	fill_cpu(cgroup, &cpu);
	fill_memory(cgroup, &memory);
	fill_memory_events(cgroup, &events);
	io.n_usage = fill_io(cgroup, entries, list);
	io.usage = list;
	metrics.pids = &pids;
	metrics.cpu = &cpu;
	metrics.memory = &memory;
	metrics.memory_events = &events;
	metrics.io = &io;
	*ret_bytes = xmalloc(task__metrics__get_packed_size(&metrics) + 1);
	return task__metrics__pack(&metrics, *ret_bytes);
}
