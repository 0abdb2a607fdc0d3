/* SPDX-License-Identifier: Apache-2.0 */
/* config.json's process.scheduler, .ioPriority and .execCPUAffinity: runtime-spec config.md
 * "Linux Process". */
#include <linux/ioprio.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "runtime-spec/cpu-list.h"
#include "runtime-spec/spec-internal.h"

/* Words and the kernel's numbers for them, in the same order. */
static const char *const policies[] = { "SCHED_OTHER",	  "SCHED_FIFO", "SCHED_RR",
					"SCHED_BATCH",	  "SCHED_ISO",	"SCHED_IDLE",
					"SCHED_DEADLINE", NULL };
static const uint32_t policy_numbers[] = { SCHED_NORMAL, SCHED_FIFO, SCHED_RR,	    SCHED_BATCH,
					   4 /* ISO */,	 SCHED_IDLE, SCHED_DEADLINE };

static const char *const flags[] = { "SCHED_FLAG_RESET_ON_FORK",  "SCHED_FLAG_RECLAIM",
				     "SCHED_FLAG_DL_OVERRUN",	  "SCHED_FLAG_KEEP_POLICY",
				     "SCHED_FLAG_KEEP_PARAMS",	  "SCHED_FLAG_UTIL_CLAMP_MIN",
				     "SCHED_FLAG_UTIL_CLAMP_MAX", NULL };
static const uint64_t flag_bits[] = { SCHED_FLAG_RESET_ON_FORK, SCHED_FLAG_RECLAIM,
				      SCHED_FLAG_DL_OVERRUN,	SCHED_FLAG_KEEP_POLICY,
				      SCHED_FLAG_KEEP_PARAMS,	SCHED_FLAG_UTIL_CLAMP_MIN,
				      SCHED_FLAG_UTIL_CLAMP_MAX };

static const char *const classes[] = { "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE",
				       NULL };
static const uint32_t class_numbers[] = { IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE };

static size_t index_of(const char *const *words, const char *word)
{
	size_t i = 0;

	while (strcmp(words[i], word) != 0)
		i++;
	return i;
}

static int read_scheduler(const struct json_at *process, struct spec_scheduler *ret_scheduler,
			  struct error **ret_error)
{
	_cleanup_free_ char *policy = NULL;
	_cleanup_strv_ char **words = NULL;
	int64_t nice = 0, priority = 0;
	struct json_at at;

	if (json_object(process, "scheduler", JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (spec_get_word(&at, "policy", JSON_REQUIRED, policies, "scheduling policy", &policy,
			  ret_error) < 0 ||
	    json_get_int64(&at, "nice", JSON_OPTIONAL, INT32_MIN, INT32_MAX, &nice, ret_error) <
		0 ||
	    json_get_int64(&at, "priority", JSON_OPTIONAL, INT32_MIN, INT32_MAX, &priority,
			   ret_error) < 0 ||
	    spec_get_words(&at, "flags", flags, "scheduling flag", &words, ret_error) < 0 ||
	    json_get_uint64(&at, "runtime", JSON_OPTIONAL, UINT64_MAX, &ret_scheduler->runtime,
			    ret_error) < 0 ||
	    json_get_uint64(&at, "deadline", JSON_OPTIONAL, UINT64_MAX, &ret_scheduler->deadline,
			    ret_error) < 0 ||
	    json_get_uint64(&at, "period", JSON_OPTIONAL, UINT64_MAX, &ret_scheduler->period,
			    ret_error) < 0)
		return -1;
	ret_scheduler->present = true;
	ret_scheduler->policy = policy_numbers[index_of(policies, policy)];
	ret_scheduler->nice = (int32_t)nice;
	ret_scheduler->priority = (int32_t)priority;
	for (size_t i = 0; words && words[i]; i++)
		ret_scheduler->flags |= flag_bits[index_of(flags, words[i])];
	return 0;
}

static int read_io_priority(const struct json_at *process, struct spec_io_priority *ret_priority,
			    struct error **ret_error)
{
	_cleanup_free_ char *class = NULL;
	uint64_t priority = 0;
	struct json_at at;

	if (json_object(process, "ioPriority", JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (spec_get_word(&at, "class", JSON_REQUIRED, classes, "I/O priority class", &class,
			  ret_error) < 0 ||
	    json_get_uint64(&at, "priority", JSON_OPTIONAL, IOPRIO_NR_LEVELS - 1, &priority,
			    ret_error) < 0)
		return -1;
	ret_priority->present = true;
	ret_priority->class = class_numbers[index_of(classes, class)];
	ret_priority->priority = (uint32_t)priority;
	return 0;
}

static int read_cpus(const struct json_at *affinity, const char *key, char **ret_list,
		     struct error **ret_error)
{
	const struct json_at at = { .parent = affinity, .key = key };
	bool named[CPU_NUMBERS_MAX];

	if (spec_get_text(affinity, key, JSON_OPTIONAL, ret_list, ret_error) < 0)
		return -1;
	if (*ret_list && cpu_list_parse(*ret_list, named) == 0)
		return json_error(&at, ret_error, "\"%.64s\" is not a list such as 0-3,7",
				  *ret_list);
	return 0;
}

int spec_read_scheduling(const struct json_at *process, struct spec_process *ret_process,
			 struct error **ret_error)
{
	struct json_at affinity;

	if (read_scheduler(process, &ret_process->scheduler, ret_error) < 0 ||
	    read_io_priority(process, &ret_process->io_priority, ret_error) < 0 ||
	    json_object(process, "execCPUAffinity", JSON_OPTIONAL, &affinity, ret_error) < 0)
		return -1;
	if (!json_present(&affinity))
		return 0;
	if (read_cpus(&affinity, "initial", &ret_process->initial_cpus, ret_error) < 0)
		return -1;
	return read_cpus(&affinity, "final", &ret_process->final_cpus, ret_error);
}
