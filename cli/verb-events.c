/* SPDX-License-Identifier: Apache-2.0 */
/* `events`: the container's statistics, once or for as long as it lives, and its
 * out-of-memory kills. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/parse.h"
#include "cli/stats.h"
#include "cli/verb.h"
#include "client/handle.h"
#include "protocol/sandbox.pb-c.h"

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

static void print(char *line)
{
	printf("%s\n", line);
	(void)fflush(stdout);
	free(line);
}

/* *ret_oom_kills (may be NULL): how many kills there had been. */
static int report(const struct handle *handle, uint64_t *ret_oom_kills, struct error **ret_error)
{
	Task__Metrics *metrics = NULL;

	if (stats_get(handle, &metrics, ret_error) < 0)
		return -1;
	print(stats_event(handle->id, metrics));
	if (ret_oom_kills)
		*ret_oom_kills = metrics->memory_events ? metrics->memory_events->oom_kill : 0;
	protobuf_c_message_free_unpacked(&metrics->base, NULL);
	return 0;
}

static bool alive(const struct handle *handle)
{
	enum container_status status = STATUS_STOPPED;

	return handle_status(handle, &status, NULL) == 0 && status != STATUS_STOPPED &&
	       status != STATUS_CREATING;
}

/* ---- for as long as it lives ---- */

struct follower {
	const struct handle *handle;
	struct loop *loop;
	struct ttrpc_client *client; /* for what waits */
	uint64_t interval_ms, oom_kills;
	struct error *error;
};

static void wait_oom(struct follower *follower);

/* An error is the container's end: then its events end, too. */
static void oom_told(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct follower *follower = data;

	if (error) {
		loop_quit(follower->loop);
		return;
	}
	follower->oom_kills = ((const Sandbox__WaitOomResponse *)response)->count;
	print(stats_oom_event(follower->handle->id));
	wait_oom(follower);
}

static void wait_oom(struct follower *follower)
{
	Sandbox__WaitOomRequest request = SANDBOX__WAIT_OOM_REQUEST__INIT;
	const struct ttrpc_request call = { .service = "supermachine.v1.Sandbox",
					    .method = "WaitOom",
					    .message = &request.base,
					    .response = &sandbox__wait_oom_response__descriptor };

	request.id = follower->handle->id;
	request.seen = follower->oom_kills;
	ttrpc_client_call(follower->client, &call, oom_told, follower);
}

static void next_report(void *data)
{
	struct follower *follower = data;

	if (ferror(stdout)) {
		loop_quit(follower->loop);
	} else if (report(follower->handle, NULL, &follower->error) == 0) {
		(void)loop_add_timer(follower->loop, follower->interval_ms, "events interval",
				     next_report, follower);
	} else if (alive(follower->handle)) {
		loop_quit(follower->loop);
	} else {
		/* Its end is about to be told on the other connection, behind an OOM
		 * kill that may have caused it. */
		error_free(TAKE_PTR(follower->error));
	}
}

static int follow(const struct handle *handle, uint64_t interval_ms, struct error **ret_error)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	_cleanup_(ttrpc_client_freep) struct ttrpc_client *client = NULL;
	struct follower follower = { .handle = handle, .interval_ms = interval_ms };
	int fd = handle_connect(handle, ret_error);

	if (fd < 0)
		return -1;
	if (loop_new(&loop, ret_error) < 0) {
		(void)close(fd);
		return -1;
	}
	if (ttrpc_client_new(loop, fd, NULL, NULL, &client, ret_error) < 0)
		return -1;
	follower.loop = loop;
	follower.client = client;
	/* Told are those that come from now on. */
	if (report(handle, &follower.oom_kills, ret_error) < 0)
		return -1;
	wait_oom(&follower);
	(void)loop_add_timer(loop, interval_ms, "events interval", next_report, &follower);
	loop_run(loop);
	if (follower.error) {
		*ret_error = follower.error;
		return -1;
	}
	return 0;
}

static int run(const struct command *command, struct error **ret_error)
{
	const struct events_options *values = command->options;
	_cleanup_(handle_freep) struct handle *handle = NULL;
	uint64_t interval_ms;

	if (parse_duration(values->interval ? values->interval : "5s", &interval_ms, ret_error) < 0)
		return error_wrap(ret_error, "--interval");
	if (handle_open(command->globals->client.root, command->args[0], &handle, ret_error) < 0)
		return -1;
	if (!alive(handle))
		return error_set(ret_error, EBUSY, "container with id %s is not running",
				 handle->id);
	if (values->stats)
		return report(handle, NULL, ret_error);
	return follow(handle, interval_ms, ret_error);
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
