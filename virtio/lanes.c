/* SPDX-License-Identifier: Apache-2.0 */
/* Sharing threads out among lanes: see lanes.h. */
#include "virtio/lanes.h"

#include <stdlib.h>

#include "base/alloc.h"

struct lanes {
	unsigned threads_max;
	unsigned n_running;
	struct lane_waiter *first; /* of the lane whose turn is next */
	struct lane running[];	   /* threads_max, in no order */
};

struct lanes *lanes_new(unsigned threads_max)
{
	struct lanes *lanes = xcalloc(1, sizeof(*lanes) + threads_max * sizeof(lanes->running[0]));

	lanes->threads_max = threads_max;
	return lanes;
}

void lanes_free(struct lanes *lanes)
{
	free(lanes);
}

static bool is_same(const struct lane *lane, const struct lane *other)
{
	return lane->number == other->number && lane->group == other->group;
}

static bool may_run(const struct lanes *lanes, const struct lane *lane)
{
	const unsigned free_threads = lanes->threads_max - lanes->n_running;
	unsigned in_lane = 0, in_group = 0;

	for (unsigned i = 0; i < lanes->n_running; i++) {
		in_lane += is_same(&lanes->running[i], lane);
		in_group += lanes->running[i].group == lane->group;
	}
	return in_lane < free_threads && in_group < 2 * free_threads;
}

static void start(struct lanes *lanes, const struct lane *lane)
{
	lanes->running[lanes->n_running++] = *lane;
}

/* Where the lane's first one is linked, or the end. */
static struct lane_waiter **find(struct lanes *lanes, const struct lane *lane)
{
	struct lane_waiter **at = &lanes->first;

	while (*at && !is_same(&(*at)->lane, lane))
		at = &(*at)->next_lane;
	return at;
}

bool lanes_enter(struct lanes *lanes, const struct lane *lane)
{
	if (*find(lanes, lane) || !may_run(lanes, lane))
		return false;
	start(lanes, lane);
	return true;
}

void lanes_leave(struct lanes *lanes, const struct lane *lane)
{
	unsigned i = 0;

	while (!is_same(&lanes->running[i], lane))
		i++;
	lanes->running[i] = lanes->running[--lanes->n_running];
}

void lanes_wait(struct lanes *lanes, struct lane_waiter *waiter)
{
	struct lane_waiter **at = find(lanes, &waiter->lane);

	waiter->next = waiter->next_lane = NULL;
	waiter->last = waiter;
	if (*at) {
		(*at)->last->next = waiter;
		(*at)->last = waiter;
	} else {
		*at = waiter;
	}
}

/* The first one of the lane that is linked there; those behind it have the last turn. */
static struct lane_waiter *take(struct lane_waiter **at)
{
	struct lane_waiter *waiter = *at, *behind = waiter->next;

	*at = waiter->next_lane;
	if (behind) {
		behind->last = waiter->last;
		behind->next_lane = NULL;
		while (*at)
			at = &(*at)->next_lane;
		*at = behind;
	}
	return waiter;
}

static struct lane_waiter **find_next(struct lanes *lanes)
{
	struct lane_waiter **at = &lanes->first;

	while (*at && !may_run(lanes, &(*at)->lane))
		at = &(*at)->next_lane;
	return at;
}

struct lane_waiter *lanes_next(struct lanes *lanes)
{
	struct lane_waiter **at = find_next(lanes);
	struct lane_waiter *waiter = *at ? take(at) : NULL;

	if (waiter)
		start(lanes, &waiter->lane);
	return waiter;
}

bool lanes_have_next(struct lanes *lanes)
{
	return *find_next(lanes) != NULL;
}

struct lane_waiter *lanes_drop(struct lanes *lanes)
{
	return lanes->first ? take(&lanes->first) : NULL;
}
