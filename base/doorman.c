/* SPDX-License-Identifier: Apache-2.0 */
/* Letting connections in: see doorman.h. */
#include "base/doorman.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/listener.h"
#include "base/pump.h"

struct door {
	struct doorman *doorman;
	void *door;
	char *path;
	struct listener *listener;
	struct door *next;
};

struct lodge {
	size_t joined_max, handshakes_max;
	size_t n_joined, n_handshakes;
	uint64_t last_number;
	struct doorman *doormen;
};

struct doorman {
	struct loop *loop;
	struct doorman_setup setup;
	struct door *doors;
	struct visitor *visitors;
	size_t n_visitors;
	size_t n_joined; /* of these */
	struct doorman *next_in_lodge;
};

/* One more (or one fewer) of those who were let in, or who are in their handshake. */
static void count(struct doorman *doorman, bool joined, int change)
{
	struct lodge *lodge = doorman->setup.lodge;

	if (joined)
		doorman->n_joined += (size_t)change;
	if (!lodge)
		return;
	if (joined)
		lodge->n_joined += (size_t)change;
	else
		lodge->n_handshakes += (size_t)change;
}

void visitor_refuse(struct visitor *visitor)
{
	struct doorman *doorman = visitor->doorman;

	if (visitor->previous)
		visitor->previous->next = visitor->next;
	else
		doorman->visitors = visitor->next;
	if (visitor->next)
		visitor->next->previous = visitor->previous;
	doorman->n_visitors--;
	count(doorman, visitor->joined, -1);
	source_remove(visitor->source);
	source_remove(visitor->timer);
	pump_free(visitor->pump);
	if (doorman->setup.leaves)
		doorman->setup.leaves(visitor);
	close_fdp(&visitor->fd);
	free(visitor);
}

static void turned_away(const struct doorman *doorman, const char *why)
{
	if (doorman->setup.turned_away)
		doorman->setup.turned_away(doorman->setup.data, why);
}

static void handshake_overdue(void *data)
{
	struct visitor *visitor = data;

	visitor->timer = NULL;
	turned_away(visitor->doorman, "its handshake did not come in time");
	visitor_refuse(visitor);
}

static void on_ready(void *data, uint32_t events)
{
	struct visitor *visitor = data;

	(void)events;
	visitor->ready(visitor);
}

void visitor_watch(struct visitor *visitor, int fd, uint32_t events,
		   void (*ready)(struct visitor *visitor))
{
	source_clear(&visitor->source);
	visitor->ready = ready;
	if (loop_add_io(visitor->doorman->loop, fd, events, "handshake", on_ready, visitor,
			&visitor->source, NULL) < 0)
		visitor_refuse(visitor);
}

static void pump_ended(void *data, bool broken)
{
	struct visitor *visitor = data;

	(void)broken;
	visitor->pump = NULL;
	visitor_refuse(visitor);
}

static bool may_join(const struct doorman *doorman)
{
	const struct lodge *lodge = doorman->setup.lodge;

	return !lodge || (doorman->n_joined < doorman->setup.visitors_max &&
			  doorman->n_joined < 2 * (lodge->joined_max - lodge->n_joined));
}

static void join(struct visitor *visitor, int fd)
{
	const struct pump_setup setup = { .from = TAKE_FD(visitor->fd),
					  .to = fd,
					  .both_ways = true,
					  .function = pump_ended,
					  .data = visitor };

	source_clear(&visitor->source);
	source_clear(&visitor->timer);
	count(visitor->doorman, false, -1);
	count(visitor->doorman, true, 1);
	visitor->joined = true;
	visitor->pump = pump_new(visitor->doorman->loop, &setup);
}

void visitor_join(struct visitor *visitor, int fd)
{
	if (may_join(visitor->doorman)) {
		join(visitor, fd);
		return;
	}
	(void)close(fd);
	turned_away(visitor->doorman, "there are too many at once");
	visitor_refuse(visitor);
}

/* The visitor who has been in its handshake for the longest time. */
static struct visitor *find_first(const struct lodge *lodge)
{
	struct visitor *first = NULL;

	for (const struct doorman *at = lodge->doormen; at; at = at->next_in_lodge)
		for (struct visitor *visitor = at->visitors; visitor; visitor = visitor->next)
			if (!visitor->joined && (!first || visitor->number < first->number))
				first = visitor;
	return first;
}

static void make_room(const struct lodge *lodge)
{
	struct visitor *first;

	if (lodge->n_handshakes < lodge->handshakes_max)
		return;
	first = find_first(lodge);
	turned_away(first->doorman, "too many others came before its handshake");
	visitor_refuse(first);
}

void doorman_admit(struct doorman *doorman, int fd, void *door)
{
	struct lodge *lodge = doorman->setup.lodge;
	struct visitor *visitor;

	if (lodge) {
		make_room(lodge);
	} else if (doorman->n_visitors >= doorman->setup.visitors_max) {
		(void)close(fd);
		turned_away(doorman, "there are too many at once");
		return;
	}
	visitor = xcalloc(1, doorman->setup.visitor_size);
	visitor->doorman = doorman;
	visitor->door = door;
	visitor->fd = fd;
	visitor->next = doorman->visitors;
	if (visitor->next)
		visitor->next->previous = visitor;
	doorman->visitors = visitor;
	doorman->n_visitors++;
	visitor->number = lodge ? ++lodge->last_number : 0;
	count(doorman, false, 1);
	visitor->timer = loop_add_timer(doorman->loop, doorman->setup.handshake_ms, "handshake",
					handshake_overdue, visitor);
	doorman->setup.came(visitor);
}

/* ---- doors ---- */

static void on_connection(void *data, int fd)
{
	const struct door *door = data;

	doorman_admit(door->doorman, fd, door->door);
}

static void door_free(struct door *door)
{
	if (!door)
		return;
	if (door->listener && door->path)
		(void)unlink(door->path);
	listener_free(door->listener);
	free(door->path);
	free(door);
}
DEFINE_CLEANUP(struct door, door_free)

int doorman_listen(struct doorman *doorman, const char *path, mode_t mode, void *data,
		   struct error **ret_error)
{
	_cleanup_(door_freep) struct door *door = xcalloc(1, sizeof(*door));
	int fd;

	door->doorman = doorman;
	door->door = data;
	door->path = xstrdup(path);
	/* A process that was killed may have left it behind. */
	(void)unlink(path);
	fd = unix_listen(path, mode, ret_error);
	if (fd < 0)
		return -1;
	if (listener_new(doorman->loop, fd, "door", on_connection, door, &door->listener,
			 ret_error) < 0) {
		(void)unlink(path);
		return -1;
	}
	door->next = doorman->doors;
	doorman->doors = TAKE_PTR(door);
	return 0;
}

int doorman_serve(struct doorman *doorman, int fd, void *data, struct error **ret_error)
{
	_cleanup_(door_freep) struct door *door = xcalloc(1, sizeof(*door));

	door->doorman = doorman;
	door->door = data;
	if (listener_new_shared(doorman->loop, fd, "door", on_connection, door, &door->listener,
				ret_error) < 0)
		return -1;
	door->next = doorman->doors;
	doorman->doors = TAKE_PTR(door);
	return 0;
}

struct lodge *lodge_new(size_t joined_max, size_t handshakes_max)
{
	struct lodge *lodge = xcalloc(1, sizeof(*lodge));

	lodge->joined_max = joined_max;
	lodge->handshakes_max = handshakes_max;
	return lodge;
}

void lodge_free(struct lodge *lodge)
{
	free(lodge);
}

static void leave_lodge(const struct doorman *doorman)
{
	struct doorman **at = &doorman->setup.lodge->doormen;

	while (*at != doorman)
		at = &(*at)->next_in_lodge;
	*at = doorman->next_in_lodge;
}

struct doorman *doorman_new(struct loop *loop, const struct doorman_setup *setup)
{
	struct doorman *doorman = xcalloc(1, sizeof(*doorman));

	doorman->loop = loop;
	doorman->setup = *setup;
	if (doorman->setup.visitors_max == 0)
		doorman->setup.visitors_max = DOORMAN_VISITORS_MAX;
	if (doorman->setup.handshake_ms == 0)
		doorman->setup.handshake_ms = DOORMAN_HANDSHAKE_MS;
	if (setup->lodge) {
		doorman->next_in_lodge = setup->lodge->doormen;
		setup->lodge->doormen = doorman;
	}
	return doorman;
}

void *doorman_data(const struct doorman *doorman)
{
	return doorman->setup.data;
}

void doorman_free(struct doorman *doorman)
{
	if (!doorman)
		return;
	while (doorman->visitors)
		visitor_refuse(doorman->visitors);
	if (doorman->setup.lodge)
		leave_lodge(doorman);
	while (doorman->doors) {
		struct door *door = doorman->doors;

		doorman->doors = door->next;
		door_free(door);
	}
	free(doorman);
}
