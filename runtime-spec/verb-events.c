/* `events`: the container's statistics, once or for as long as it lives, and its
 * out-of-memory kills. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"
#include "runtime-spec/container.h"
#include "runtime-spec/parse.h"
#include "runtime-spec/stats.h"
#include "runtime-spec/verb.h"
#include "ttrpc/any.h"

#define METRICS_TYPE "io.containerd.cgroups.v2.Metrics"

struct events_options {
	const char *interval;
	bool stats;
};

static const struct option_def options[] = {
	{ "interval", 0, OPTION_STRING, offsetof(struct events_options, interval),
	  "time between two statistics (default: 5s)" },
	{ "stats", 0, OPTION_FLAG, offsetof(struct events_options, stats),
	  "display the statistics once" },
	OPTION_END
};

static int get_metrics(const struct container *container, Task__Metrics **ret_metrics,
		       struct error **ret_error)
{
	Task__StatsRequest request = TASK__STATS_REQUEST__INIT;
	ProtobufCMessage *response = NULL;
	Task__Metrics *metrics;

	request.id = container->id;
	if (container_call(container, "Stats", &request.base, &task__stats_response__descriptor,
			   CALL_TIMEOUT_MS, &response, ret_error) < 0)
		return -1;
	metrics = (Task__Metrics *)any_unpack(((Task__StatsResponse *)response)->stats,
					      METRICS_TYPE, &task__metrics__descriptor);
	protobuf_c_message_free_unpacked(response, NULL);
	if (!metrics)
		return error_set(ret_error, EPROTO,
				 "the task server's statistics are no " METRICS_TYPE);
	*ret_metrics = metrics;
	return 0;
}

static void print(char *line)
{
	printf("%s\n", line);
	(void)fflush(stdout);
	free(line);
}

/* Prints one round; *oom_kills is what has been told so far. */
static int report(const struct container *container, uint64_t *oom_kills, struct error **ret_error)
{
	Task__Metrics *metrics = NULL;
	uint64_t now;

	if (get_metrics(container, &metrics, ret_error) < 0)
		return -1;
	now = metrics->memory_events ? metrics->memory_events->oom_kill : 0;
	if (*oom_kills != UINT64_MAX && now > *oom_kills)
		print(stats_oom_event(container->id));
	*oom_kills = now;
	print(stats_event(container->id, metrics));
	protobuf_c_message_free_unpacked(&metrics->base, NULL);
	return 0;
}

static bool alive(const struct container *container)
{
	enum container_status status = STATUS_STOPPED;

	return container_status(container, &status, NULL) == 0 && status != STATUS_STOPPED;
}

static int run(const struct command *command, struct error **ret_error)
{
	const struct events_options *values = command->options;
	_cleanup_(container_freep) struct container *container = NULL;
	uint64_t interval_ms, oom_kills = UINT64_MAX;
	_cleanup_error_ struct error *error = NULL;

	if (parse_duration(values->interval ? values->interval : "5s", &interval_ms, ret_error) < 0)
		return error_wrap(ret_error, "--interval");
	if (container_open(command->globals->root, command->args[0], &container, ret_error) < 0)
		return -1;
	if (!alive(container))
		return error_set(ret_error, EBUSY, "container with id %s is not running",
				 container->id);
	if (report(container, &oom_kills, ret_error) < 0)
		return -1;
	while (!values->stats && !ferror(stdout)) {
		(void)poll(NULL, 0, (int)MIN(interval_ms, (uint64_t)INT32_MAX));
		if (report(container, &oom_kills, &error) == 0)
			continue;
		if (!alive(container))
			break; /* it has ended: so do its events */
		*ret_error = TAKE_PTR(error);
		return -1;
	}
	return 0;
}

const struct verb verb_events = {
	.name = "events",
	.arguments = "<container-id>",
	.summary = "display statistics and out-of-memory events of a container",
	.options = options,
	.options_size = sizeof(struct events_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
