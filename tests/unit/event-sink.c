/* SPDX-License-Identifier: Apache-2.0 */
/* containerd's side of events: see event-sink.h. */
#include "tests/unit/event-sink.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "protocol/events.pb-c.h"
#include "tests/unit/test.h"
#include "ttrpc/any.h"

/* The event's fields in text, by its type. */
static char *describe(const Task__Any *any)
{
	ProtobufCMessage *message;
	char *text = NULL;

	if ((message =
		 any_unpack(any, "containerd.events.TaskExit", &events__task_exit__descriptor))) {
		const Events__TaskExit *event = (const Events__TaskExit *)message;

		CHECK(event->exited_at && event->exited_at->seconds > 1600000000);
		CHECK(event->pid > 0);
		text = xasprintf("%s/%s %u", event->container_id, event->id, event->exit_status);
	} else if ((message = any_unpack(any, "containerd.events.TaskDelete",
					 &events__task_delete__descriptor))) {
		const Events__TaskDelete *event = (const Events__TaskDelete *)message;

		text = xasprintf("%s/%s %u", event->container_id, event->id, event->exit_status);
	} else if ((message = any_unpack(any, "containerd.events.TaskCreate",
					 &events__task_create__descriptor))) {
		const Events__TaskCreate *event = (const Events__TaskCreate *)message;

		CHECK(event->pid > 0 && event->io && event->bundle[0] == '/');
		text = xasprintf("%s %zu mounts", event->container_id, event->n_rootfs);
	} else if ((message = any_unpack(any, "containerd.events.TaskExecStarted",
					 &events__task_exec_started__descriptor))) {
		const Events__TaskExecStarted *event = (const Events__TaskExecStarted *)message;

		CHECK(event->pid > 0);
		text = xasprintf("%s/%s", event->container_id, event->exec_id);
	} else if ((message = any_unpack(any, "containerd.events.TaskExecAdded",
					 &events__task_exec_added__descriptor))) {
		const Events__TaskExecAdded *event = (const Events__TaskExecAdded *)message;

		text = xasprintf("%s/%s", event->container_id, event->exec_id);
	} else if ((message = any_unpack(any, "containerd.events.TaskStart",
					 &events__task_start__descriptor))) {
		const Events__TaskStart *event = (const Events__TaskStart *)message;

		CHECK(event->pid > 0);
		text = xstrdup(event->container_id);
	} else {
		/* TaskPaused, TaskResumed, TaskOOM: the id alone. */
		message = protobuf_c_message_unpack(&events__task_paused__descriptor, NULL,
						    any->value.len, any->value.data);
		CHECK(message);
		text = xstrdup(((const Events__TaskPaused *)message)->container_id);
	}
	protobuf_c_message_free_unpacked(message, NULL);
	return text;
}

static void on_forward(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Events__ForwardRequest *request = (const Events__ForwardRequest *)message;
	const Events__Envelope *envelope = request->envelope;
	const char *namespace = ttrpc_call_metadata(call, "containerd-namespace-ttrpc");
	_cleanup_free_ char *text = NULL;
	Task__Empty empty = TASK__EMPTY__INIT;
	struct event_sink *sink = data;

	CHECK(envelope && envelope->timestamp && envelope->timestamp->seconds > 1600000000);
	CHECK(namespace);
	CHECK_STRING(envelope->namespace_, namespace);
	if (sink->refuse > 0) {
		sink->refuse--;
		ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT, "not now");
		return;
	}
	if (sink->unavailable > 0) {
		sink->unavailable--;
		ttrpc_call_fail(call, TTRPC_UNAVAILABLE, "shutting down");
		return;
	}
	free(sink->namespace);
	sink->namespace = xstrdup(namespace);
	text = describe(envelope->event);
	CHECK(sink->n_lines < SINK_EVENTS_MAX);
	sink->lines[sink->n_lines++] = xasprintf("%s %s", envelope->topic, text);
	ttrpc_call_reply(call, &empty.base);
}

static const struct ttrpc_method methods[] = {
	{ "Forward", &events__forward_request__descriptor, on_forward },
};

void sink_open(struct event_sink *sink, struct loop *loop, const char *path)
{
	struct error *error = NULL;
	int fd = unix_listen(path, 0600, &error);

	CHECK_OK(fd, &error);
	sink->loop = loop;
	sink->service =
	    (struct ttrpc_service){ .name = "containerd.services.events.ttrpc.v1.Events",
				    .methods = methods,
				    .n_methods = 1,
				    .data = sink };
	sink->server = ttrpc_server_new(loop, &sink->service, 1);
	CHECK_OK(ttrpc_server_listen(sink->server, fd, &error), &error);
}

void sink_close(struct event_sink *sink, const char *path)
{
	ttrpc_server_free(sink->server);
	sink->server = NULL;
	CHECK(unlink(path) == 0);
}

void sink_expect(struct event_sink *sink, size_t n)
{
	uint64_t end_ns = clock_monotonic_ns() + UINT64_C(60000000000);

	while (sink->n_lines < n) {
		CHECK(clock_monotonic_ns() < end_ns);
		loop_step(sink->loop, 100);
	}
}

void sink_done(struct event_sink *sink)
{
	for (size_t i = 0; i < sink->n_lines; i++)
		free(sink->lines[i]);
	free(sink->namespace);
	ttrpc_server_free(sink->server);
}
