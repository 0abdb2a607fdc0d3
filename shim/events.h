/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The publisher: a queue of events for containerd, in the order in which they
 * were published (containerd.services.events.ttrpc.v1.Events/Forward at
 * $TTRPC_ADDRESS).
 *
 * One event is under way at a time, so that the order holds whatever fails.  While
 * containerd cannot be reached (it restarts, say) events wait, and are sent again
 * with a growing delay; one that reached it may then arrive twice.  An event that
 * containerd itself refuses is dropped after a few attempts, and of more than
 * EVENTS_MAX the oldest: each with a warning.
 *
 * Where there is no containerd (CLI mode) there is no publisher:
 * events_publish() and events_waiting() take NULL.  Loop thread.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/loop.h"

#define EVENTS_MAX 2048

struct events;

/* address: a unix socket's path, with or without "unix://"; copied, as is the
 * namespace.  Connects when there is something to send. */
struct events *events_new(struct loop *loop, const char *address, const char *namespace);
/* What has not been sent is lost. */
void events_free(struct events *events);
DEFINE_CLEANUP(struct events, events_free)

/* Queues an event of now.  topic: "/tasks/…"; type: the message's bare name
 * ("containerd.events.TaskExit"); message stays the caller's. */
void events_publish(struct events *events, const char *topic, const char *type,
		    const ProtobufCMessage *message);
/* Those queued and not yet taken by containerd. */
size_t events_waiting(const struct events *events);
/* Calls function once, never from within, when all is sent, or after timeout_ms.
 * At most one drain at a time; events_free() takes it back. */
void events_drain(struct events *events, uint64_t timeout_ms, void (*function)(void *data),
		  void *data);
