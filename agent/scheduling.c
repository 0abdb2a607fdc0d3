/* SPDX-License-Identifier: Apache-2.0 */
/* Scheduling: see scheduling.h. */
#include "agent/scheduling.h"

#include <errno.h>
#include <linux/ioprio.h>
#include <linux/sched/types.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime-spec/cpu-list.h"

static int set_policy(const struct spec_scheduler *scheduler, struct error **ret_error)
{
	struct sched_attr attr = {
		.size = sizeof(attr),
		.sched_policy = scheduler->policy,
		.sched_flags = scheduler->flags,
		.sched_nice = scheduler->nice,
		.sched_priority = (uint32_t)scheduler->priority,
		.sched_runtime = scheduler->runtime,
		.sched_deadline = scheduler->deadline,
		.sched_period = scheduler->period,
	};

	if (syscall(SYS_sched_setattr, 0, &attr, 0) < 0)
		return error_set_errno(ret_error, errno, "process.scheduler: sched_setattr");
	return 0;
}

int scheduling_set(const struct spec_process *process, struct error **ret_error)
{
	const struct spec_io_priority *io = &process->io_priority;

	if (process->scheduler.present && set_policy(&process->scheduler, ret_error) < 0)
		return -1;
	if (io->present && syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
				   IOPRIO_PRIO_VALUE(io->class, io->priority)) < 0)
		return error_set_errno(ret_error, errno, "process.ioPriority: ioprio_set");
	return 0;
}

int scheduling_keep_to(const char *cpus, struct error **ret_error)
{
	bool named[CPU_NUMBERS_MAX];
	const unsigned int n = cpus ? cpu_list_parse(cpus, named) : CPU_NUMBERS_MAX;
	uint8_t set[CPU_NUMBERS_MAX / 8] = { 0 };

	for (unsigned int i = 0; i < n; i++)
		set[i / 8] |= (uint8_t)(1u << (i % 8));
	/* (libc's <sched.h> and the kernel's sched_attr exclude each other.) */
	if (syscall(SYS_sched_setaffinity, 0, sizeof(set), set) < 0)
		return error_set_errno(ret_error, errno, "process.execCPUAffinity: %s",
				       cpus ? cpus : "none");
	return 0;
}
