/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The publisher: see events.h.
 *
 * IDLE ─publish─► SENDING ─answered─► SENDING the next, or IDLE
 *                    │ ▲
 *     not delivered  ▼ │ retry timer
 *                  WAITING
 *
 * SENDING has a connection and one call of the first event; WAITING has the timer.
 * A connection stays open between events: it is dropped when it closes, or when a
 * call on it got no answer in time.
 */
#include "shim/events.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "protocol/events.pb-c.h"
#include "ttrpc/any.h"
#include "ttrpc/ttrpc.h"

#define FORWARD_TIMEOUT_MS 5000
#define RETRY_FIRST_MS 100
#define RETRY_LAST_MS UINT64_C(5000)
/* What containerd refuses it may refuse for a passing reason. */
#define REFUSALS_MAX 5

struct event {
	uint64_t realtime_ns;
	char *topic;
	Task__Any any;
	unsigned refusals;
	struct event *next;
};

struct events {
	struct loop *loop;
	char *path, *namespace;
	struct event *first, **last;
	size_t n;
	struct ttrpc_client *client; /* NULL: not connected */
	bool sending;		     /* the first event's call is open */
	struct source *retry_timer;
	uint64_t retry_ms;
	bool unreachable; /* it has been said */
	void (*drained)(void *data);
	void *drained_data;
	struct source *drain_timer;
};

static void event_free(struct event *event)
{
	free(event->topic);
	any_done(&event->any);
	free(event);
}

static void drop_first(struct events *events)
{
	struct event *event = events->first;

	events->first = event->next;
	if (!events->first)
		events->last = &events->first;
	events->n--;
	event_free(event);
}

struct events *events_new(struct loop *loop, const char *address, const char *namespace)
{
	struct events *events = xcalloc(1, sizeof(*events));

	events->loop = loop;
	events->path = xstrdup(strncmp(address, "unix://", 7) == 0 ? address + 7 : address);
	events->namespace = xstrdup(namespace);
	events->last = &events->first;
	events->retry_ms = RETRY_FIRST_MS;
	return events;
}

void events_free(struct events *events)
{
	if (!events)
		return;
	if (events->n > 0)
		log_warning("%zu events were not delivered to %s", events->n, events->path);
	source_remove(events->retry_timer);
	source_remove(events->drain_timer);
	ttrpc_client_free(events->client);
	while (events->first)
		drop_first(events);
	free(events->path);
	free(events->namespace);
	free(events);
}

/* ---- draining ---- */

static void drain_over(void *data)
{
	struct events *events = data;
	void (*function)(void *data) = events->drained;

	events->drain_timer = NULL;
	events->drained = NULL;
	function(events->drained_data);
}

static void check_drained(struct events *events)
{
	if (!events->drained || events->n > 0)
		return;
	source_clear(&events->drain_timer);
	events->drain_timer = loop_add_timer(events->loop, 0, "events drained", drain_over, events);
}

/* ---- sending ---- */

static void send_first(struct events *events);

static void retry(void *data)
{
	struct events *events = data;

	events->retry_timer = NULL;
	send_first(events);
}

static void retry_later(struct events *events)
{
	events->retry_timer =
	    loop_add_timer(events->loop, events->retry_ms, "events retry", retry, events);
	events->retry_ms = MIN(events->retry_ms * 2, RETRY_LAST_MS);
}

static void not_reached(struct events *events, const struct error *error)
{
	if (!events->unreachable)
		log_warning("cannot reach %s, events are waiting: %s", events->path,
			    error->message);
	events->unreachable = true;
	retry_later(events);
}

/* All calls have failed before; an event that waits for a retry goes on doing so. */
static void connection_closed(void *data)
{
	struct events *events = data;

	ttrpc_client_free(events->client);
	events->client = NULL;
}

static void refused(struct events *events, const struct error *error)
{
	struct event *event = events->first;

	if (++event->refusals < REFUSALS_MAX) {
		retry_later(events);
		return;
	}
	log_warning("the event %s is dropped: %s", event->topic, error->message);
	drop_first(events);
	check_drained(events);
	send_first(events);
}

static void forwarded(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct events *events = data;

	(void)response;
	events->sending = false;
	if (error && (error->code == ECONNRESET || error->code == ETIMEDOUT)) {
		connection_closed(events);
		not_reached(events, error);
		return;
	}
	events->unreachable = false;
	if (error) {
		refused(events, error);
		return;
	}
	events->retry_ms = RETRY_FIRST_MS;
	drop_first(events);
	check_drained(events);
	send_first(events);
}

static int connect_client(struct events *events, struct error **ret_error)
{
	int fd = unix_connect_nonblocking(events->path, ret_error);

	if (fd < 0 || ttrpc_client_new(events->loop, fd, connection_closed, events, &events->client,
				       ret_error) < 0)
		return -1;
	ttrpc_client_set_metadata(events->client, "containerd-namespace-ttrpc", events->namespace);
	return 0;
}

static void send_first(struct events *events)
{
	Events__ForwardRequest request = EVENTS__FORWARD_REQUEST__INIT;
	Events__Envelope envelope = EVENTS__ENVELOPE__INIT;
	_cleanup_error_ struct error *error = NULL;
	struct event *event = events->first;
	Task__Timestamp timestamp;
	const struct ttrpc_request call = { .service = "containerd.services.events.ttrpc.v1.Events",
					    .method = "Forward",
					    .message = &request.base,
					    .response = &task__empty__descriptor,
					    .timeout_ms = FORWARD_TIMEOUT_MS };

	if (!event || events->sending || events->retry_timer)
		return;
	if (!events->client && connect_client(events, &error) < 0) {
		not_reached(events, error);
		return;
	}
	timestamp_init(&timestamp, event->realtime_ns);
	envelope.timestamp = &timestamp;
	envelope.namespace_ = events->namespace;
	envelope.topic = event->topic;
	envelope.event = &event->any;
	request.envelope = &envelope;
	events->sending = true;
	ttrpc_client_call(events->client, &call, forwarded, events);
}

/* The oldest that is not on its way makes room. */
static void make_room(struct events *events)
{
	struct event **link = events->sending ? &events->first->next : &events->first;
	struct event *oldest = *link;

	log_warning("more than %d events wait: dropping a %s", EVENTS_MAX, oldest->topic);
	*link = oldest->next;
	if (!oldest->next)
		events->last = link;
	events->n--;
	event_free(oldest);
}

void events_publish(struct events *events, const char *topic, const char *type,
		    const ProtobufCMessage *message)
{
	struct event *event;

	if (!events)
		return;
	if (events->n == EVENTS_MAX)
		make_room(events);
	event = xcalloc(1, sizeof(*event));
	event->realtime_ns = clock_realtime_ns();
	event->topic = xstrdup(topic);
	any_pack(&event->any, type, message);
	*events->last = event;
	events->last = &event->next;
	events->n++;
	log_debug("event %s", topic);
	send_first(events);
}

size_t events_waiting(const struct events *events)
{
	return events ? events->n : 0;
}

void events_drain(struct events *events, uint64_t timeout_ms, void (*function)(void *data),
		  void *data)
{
	events->drained = function;
	events->drained_data = data;
	events->drain_timer =
	    loop_add_timer(events->loop, timeout_ms, "events drain", drain_over, events);
	check_drained(events);
}
