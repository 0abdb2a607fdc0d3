/* SPDX-License-Identifier: Apache-2.0 */
/* containerd's side of events, on a loop of the test's own: it takes what is
 * forwarded and writes each event down as one line of text. */
#pragma once

#include <stddef.h>

#include "base/loop.h"
#include "ttrpc/ttrpc.h"

#define SINK_EVENTS_MAX 4096

struct event_sink {
	struct loop *loop;
	struct ttrpc_service service;
	struct ttrpc_server *server;
	/* "/tasks/exit box/e 7", "/tasks/start box": topic, container/exec (of
	 * TaskExit, init is its container's id), exit status where there is one */
	char *lines[SINK_EVENTS_MAX];
	size_t n_lines;
	char *namespace;      /* of the last event's metadata */
	unsigned refuse;      /* so many are answered by an error first */
	unsigned unavailable; /* … and so many as by one that shuts down */
};

/* Listens at path, which must not exist; takes events while the loop runs. */
void sink_open(struct event_sink *sink, struct loop *loop, const char *path);
/* Closes the connections and unlinks path; the lines stay. */
void sink_close(struct event_sink *sink, const char *path);
/* Runs the loop until there are n lines; fails the test after a minute. */
void sink_expect(struct event_sink *sink, size_t n);
void sink_done(struct event_sink *sink);
