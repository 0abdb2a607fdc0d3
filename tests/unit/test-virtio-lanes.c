/* SPDX-License-Identifier: Apache-2.0 */
/* How threads are shared out among lanes. */
#include <stdlib.h>

#include "base/checked.h"
#include "tests/unit/test.h"
#include "virtio/lanes.h"

#define THREADS 31U

/* How many more of this lane may run, all of which do then. */
static unsigned fill(struct lanes *lanes, uint64_t group, uint64_t number)
{
	const struct lane lane = { .group = group, .number = number };
	unsigned n = 0;

	while (lanes_enter(lanes, &lane))
		CHECK(++n <= THREADS);
	return n;
}

static void empty(struct lanes *lanes, uint64_t group, uint64_t number, unsigned n)
{
	const struct lane lane = { .group = group, .number = number };

	while (n-- > 0)
		lanes_leave(lanes, &lane);
}

/* Half of the threads for a lane, two thirds for a group; who comes later gets a part of the rest.
 */
static void test_parts(void)
{
	_cleanup_(lanes_freep) struct lanes *lanes = lanes_new(THREADS);

	CHECK_INT(fill(lanes, 1, 10), 16);
	CHECK_INT(fill(lanes, 1, 11), 5);
	CHECK_INT(fill(lanes, 1, 12), 0);
	CHECK_INT(fill(lanes, 2, 20), 5);
	CHECK_INT(fill(lanes, 3, 30), 3);
	CHECK_INT(fill(lanes, 4, 40), 1);
	CHECK_INT(fill(lanes, 5, 50), 1);
	CHECK_INT(fill(lanes, 6, 60), 0);
	empty(lanes, 1, 10, 16);
	CHECK_INT(fill(lanes, 6, 60), 8);
}

/* The same number is another lane in another group. */
static void test_groups(void)
{
	_cleanup_(lanes_freep) struct lanes *lanes = lanes_new(THREADS);

	CHECK_INT(fill(lanes, 1, 10), 16);
	CHECK_INT(fill(lanes, 2, 10), 8);
}

/* The fewest threads: each lane gets one, one after the other. */
static void test_two(void)
{
	_cleanup_(lanes_freep) struct lanes *lanes = lanes_new(2);

	CHECK_INT(fill(lanes, 1, 1), 1);
	CHECK_INT(fill(lanes, 2, 2), 1);
	CHECK_INT(fill(lanes, 3, 3), 0);
	empty(lanes, 2, 2, 1);
	CHECK_INT(fill(lanes, 3, 3), 1);
}

struct item {
	struct lane_waiter waiter;
	unsigned number;
};

static void wait_in(struct lanes *lanes, struct item *item, uint64_t lane, unsigned number)
{
	*item = (struct item){ .waiter.lane = { .number = lane }, .number = number };
	lanes_wait(lanes, &item->waiter);
}

static unsigned next(struct lanes *lanes)
{
	const struct lane_waiter *waiter = lanes_next(lanes);

	return waiter ? ((const struct item *)waiter)->number : 0;
}

/* In the order in which they came, lane by lane. */
static void test_turns(void)
{
	static const unsigned wanted[] = { 1, 4, 2, 5, 3 };
	_cleanup_(lanes_freep) struct lanes *lanes = lanes_new(4);
	struct item items[5];

	CHECK_INT(next(lanes), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(items); i++)
		wait_in(lanes, &items[i], i < 3 ? 7 : 8, i + 1);
	for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++) {
		CHECK(lanes_have_next(lanes));
		CHECK_INT(next(lanes), wanted[i]);
		empty(lanes, 0, wanted[i] > 3 ? 8 : 7, 1);
	}
	CHECK(!lanes_have_next(lanes));
	CHECK(!lanes_drop(lanes));
}

/* Nobody overtakes those of its lane that wait; a lane that is full does not hold up another. */
static void test_waiting(void)
{
	const struct lane full = { .number = 7 }, other = { .number = 8 };
	_cleanup_(lanes_freep) struct lanes *lanes = lanes_new(4);
	struct item items[3];

	CHECK_INT(fill(lanes, 0, 7), 2);
	wait_in(lanes, &items[0], 7, 1);
	CHECK(!lanes_have_next(lanes));
	CHECK(lanes_enter(lanes, &other));
	wait_in(lanes, &items[1], 8, 2);
	CHECK_INT(next(lanes), 0);
	lanes_leave(lanes, &full);
	CHECK(!lanes_enter(lanes, &full));
	CHECK_INT(next(lanes), 1);
	lanes_leave(lanes, &full);
	lanes_leave(lanes, &full);
	CHECK_INT(next(lanes), 2);
	wait_in(lanes, &items[2], 7, 3);
	CHECK(lanes_drop(lanes) == &items[2].waiter);
	CHECK_INT(next(lanes), 0);
}

static const struct test_case cases[] = {
	{ "parts", test_parts }, { "groups", test_groups },   { "two threads", test_two },
	{ "turns", test_turns }, { "waiting", test_waiting },
};

TEST_MAIN(cases)
