/* SPDX-License-Identifier: Apache-2.0 */
/* virtio/vhost-user: rings that stop, move and start again; what is a pause and
 * what a new driver. */
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/test.h"
#include "tests/unit/vhost-fixture.h"
#include "tests/unit/vsock-guest.h"
#include "virtio/devices.h"

#define ALL (~0ULL)

static void test_pause(void)
{
	struct fake *fake = fixture(false);
	uint16_t heads[2];

	driver_start(&d, ALL);
	for (unsigned i = 0; i < 300; i++) {
		serve_one(0);
		frontend_stop(&d);
		CHECK_INT(d.frontend->base[0], 3 * i + 1);
		CHECK(fake->device.active);
		/* The guest cannot run now, but may have kicked just before. */
		heads[0] = add(0);
		driver_notify(&d, 0);
		steps();
		CHECK_INT(d.rings[0].used->idx, 3 * i + 1);
		frontend_start(&d);
		CHECK_INT(driver_complete(&d, 0, heads[0]), 7);
		/* A disabled ring is silent as well. */
		CHECK_INT(frontend_ask_state(&d, VHOST_SET_VRING_ENABLE, 0, 0), 0);
		heads[1] = add(0);
		driver_notify(&d, 0);
		steps();
		CHECK_INT(d.rings[0].used->idx, 3 * i + 2);
		CHECK_INT(frontend_ask_state(&d, VHOST_SET_VRING_ENABLE, 0, 1), 0);
		CHECK_INT(driver_complete(&d, 0, heads[1]), 7);
	}
	CHECK_INT(fake->activated, 1);
	CHECK_INT(fake->reset, 0);
	done();
}

/* GET_VRING_BASE is answered when the chain at work is done, not before. */
static void test_pause_at_work(void)
{
	struct fake *fake = fixture(true);
	uint32_t written;
	uint16_t head;

	driver_start(&d, ALL);
	for (unsigned i = 0; i < 100; i++) {
		atomic_store(&fake->at_work, false);
		(void)add(1);
		driver_notify(&d, 1);
		while (!atomic_load(&fake->at_work))
			(void)sched_yield();
		frontend_stop(&d);
		CHECK_INT(d.frontend->base[1], i + 1);
		CHECK_INT(d.rings[1].used->idx, i + 1);
		CHECK(ring_take(&d.rings[1], &head, &written));
		frontend_start(&d);
	}
	CHECK_INT(fake->activated, 1);
	CHECK_INT(fake->reset, 0);
	done();
}

/* What a front-end says when it starts the rings again, and whether that is the
 * end of a pause or a new driver. */
enum change {
	CHANGE_NOTHING,
	CHANGE_RESET, /* RESET_DEVICE said it */
	CHANGE_BASE,
	CHANGE_SIZE,
	CHANGE_DESC,
	CHANGE_AVAIL,
	CHANGE_USED,
	CHANGE_FEATURES,
	CHANGE_ONE_RING, /* the other one goes on */
	CHANGES
};

static void move(gpa_t *gpa, size_t size)
{
	gpa_t to = driver_alloc(&d, size, 16);

	memcpy(driver_at(&d, to), driver_at(&d, *gpa), size);
	*gpa = to;
}

static void change_driver(enum change change)
{
	struct driver_ring *ring = &d.rings[0];

	switch (change) {
	case CHANGE_RESET:
		frontend_set(&d, VHOST_RESET_DEVICE, NULL, 0, NULL, 0);
		break;
	case CHANGE_BASE:
		d.frontend->base[0]--;
		break;
	case CHANGE_SIZE:
		ring->size = 8;
		break;
	case CHANGE_DESC:
		move(&ring->desc_gpa, 16 * 16);
		break;
	case CHANGE_AVAIL:
		move(&ring->avail_gpa, 6 + 2 * 16);
		break;
	case CHANGE_USED:
		move(&ring->used_gpa, 6 + 8 * 16);
		break;
	case CHANGE_FEATURES:
		d.frontend->accepted &= ~FAKE_FEATURE_A;
		break;
	case CHANGE_ONE_RING:
		driver_init_ring(&d, &d.rings[1], 16);
		d.frontend->base[1] = 0;
		break;
	default:
		break;
	}
}

static void test_pause_or_reset(void)
{
	for (enum change change = CHANGE_NOTHING; change < CHANGES; change++) {
		struct fake *fake = fixture(false);
		bool pause = change == CHANGE_NOTHING;

		driver_start(&d, ALL);
		serve_one(0);
		serve_one(1);
		frontend_stop(&d);
		change_driver(change);
		frontend_start(&d);
		CHECK_INT(fake->reset, pause ? 0 : 1);
		CHECK_INT(fake->activated, pause ? 1 : 2);
		CHECK(fake->device.active);
		done();
	}
}

/* A driver that begins where the last one had been, at 0, is taken for it: nothing
 * had happened.  Not if that one had broken the device. */
static void test_reset_at_zero(void)
{
	struct fake *fake = fixture(false);

	driver_start(&d, ALL);
	d.ram_used = 0;
	driver_start(&d, ALL);
	CHECK_INT(fake->activated, 1);
	serve_one(0);
	d.ram_used = 0;
	driver_start(&d, ALL);
	CHECK_INT(fake->activated, 2);
	ring_publish(&d.rings[1], 999);
	driver_notify(&d, 1);
	driver_expect_needs_reset(&d);
	d.ram_used = 0;
	driver_start(&d, ALL);
	CHECK_INT(fake->activated, 3);
	serve_one(1);
	done();
}

/* ---- a device with a memory ---- */

static struct guest g;

static void test_vsock(void)
{
	int fd;

	guest_init(&g, 16, 4096);
	fd = guest_connect(&g, 1024, 5000);
	guest_send_text(&g, 1024, 5000, "before");
	host_expect(&g, fd, "before", 6);
	for (int i = 0; i < 50; i++) {
		frontend_stop(&g.d);
		CHECK(write(fd, "meanwhile", 9) == 9);
		for (int j = 0; j < 5; j++)
			loop_step(g.d.loop, 0);
		frontend_start(&g.d);
		guest_expect_text(&g, "meanwhile");
		guest_send_text(&g, 1024, 5000, "after");
		host_expect(&g, fd, "after", 5);
	}
	/* A new driver, of whom QEMU 7.2 says nothing. */
	guest_start(&g, 16, ALL);
	host_expect(&g, fd, NULL, 0);
	(void)close(fd);
	fd = guest_connect(&g, 1024, 5000);
	guest_send_text(&g, 1024, 5000, "again");
	host_expect(&g, fd, "again", 5);
	(void)close(fd);
	guest_done(&g);
}

/* QEMU keeps the event queue to itself: two of three rings run. */
static void test_vsock_without_events(void)
{
	int fd;

	guest_init(&g, 16, 4096);
	driver_stop_queue(&g.d, 2);
	fd = guest_connect(&g, 1024, 5000);
	guest_send_text(&g, 1024, 5000, "hello");
	host_expect(&g, fd, "hello", 5);
	g.d.rings[2].size = 0;
	frontend_stop(&g.d);
	frontend_start(&g.d);
	guest_send_text(&g, 1024, 5000, "on");
	host_expect(&g, fd, "on", 2);
	(void)close(fd);
	guest_done(&g);
}

static const struct test_case cases[] = {
	{ "pause", test_pause },
	{ "pause at work", test_pause_at_work },
	{ "pause or reset", test_pause_or_reset },
	{ "reset at zero", test_reset_at_zero },
	{ "vsock", test_vsock },
	{ "vsock without events", test_vsock_without_events },
};

TEST_MAIN(cases)
