/* SPDX-License-Identifier: Apache-2.0 */
/* virtio/mmio and virtio/device: the registers' rules, with a device that only
 * counts what is asked of it. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/unit/fake-device.h"
#include "tests/unit/test.h"
#include "tests/unit/virtio-driver.h"

#define RESETS 3000
#define VERSION_1 (1ULL << VIRTIO_F_VERSION_1)

static bool freed;

static struct fake *fixture(struct driver *d)
{
	struct fake *fake;

	freed = false;
	fake = fake_new(false, &freed);
	driver_init(d, &fake->device, 1 << 20);
	return fake;
}

static void done(struct driver *d)
{
	driver_done(d);
	CHECK(freed);
}

static void test_identity(void)
{
	struct driver d;

	(void)fixture(&d);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_VERSION), 2);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_DEVICE_ID), 42);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_STATUS), 0);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	driver_write(&d, 0x0ac, 0);
	for (uint32_t reg = 0x0b0; reg <= 0x0bc; reg += 4)
		CHECK_INT(driver_read(&d, reg), 0xffffffff); /* no shared memory */
	CHECK_INT(driver_read(&d, 0x0c0), 0);		     /* QueueReset: not offered */
	CHECK_INT(driver_read(&d, 0x0cc), 0);
	CHECK_INT(virtio_mmio_n_queues(d.mmio), FAKE_QUEUES);
	done(&d);
}

static void test_access_sizes(void)
{
	struct driver d;
	struct fake *fake = fixture(&d);
	uint8_t bytes[8];

	for (uint32_t size = 1; size <= 8; size *= 2) {
		memset(bytes, 0xee, sizeof(bytes));
		virtio_mmio_read(d.mmio, VIRTIO_MMIO_MAGIC_VALUE, bytes, size);
		CHECK_INT(bytes[0], size == 4 ? 0x76 : 0);
		if (size < 8)
			CHECK_INT(bytes[size], 0xee);
	}
	virtio_mmio_read(d.mmio, 2, bytes, 4);
	CHECK(memcmp(bytes, "\0\0\0\0", 4) == 0);
	bytes[0] = VIRTIO_CONFIG_S_ACKNOWLEDGE;
	virtio_mmio_write(d.mmio, VIRTIO_MMIO_STATUS, bytes, 1);
	virtio_mmio_write(d.mmio, VIRTIO_MMIO_STATUS, bytes, 8);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_STATUS), 0);
	/* Configuration space: any size, within it. */
	virtio_mmio_read(d.mmio, VIRTIO_MMIO_CONFIG + 3, bytes, 2);
	CHECK(memcmp(bytes, "\x13\x14", 2) == 0);
	virtio_mmio_read(d.mmio, VIRTIO_MMIO_CONFIG + 4, bytes, 8);
	CHECK(memcmp(bytes, "\x14\x15\x16\x17\x18\x19\x1a\x1b", 8) == 0);
	virtio_mmio_read(d.mmio, VIRTIO_MMIO_CONFIG + 5, bytes, 8);
	CHECK(memcmp(bytes, "\0\0\0\0\0\0\0\0", 8) == 0);
	virtio_mmio_read(d.mmio, VIRTIO_MMIO_SIZE - 8, bytes, 8);
	virtio_mmio_write(d.mmio, VIRTIO_MMIO_CONFIG + 11, "\1\2", 2);
	CHECK_INT(fake->config[11], 0x1b);
	virtio_mmio_write(d.mmio, VIRTIO_MMIO_CONFIG + 10, "\1\2", 2);
	CHECK_INT(fake->config[11], 2);
	done(&d);
}

static void to_driver(struct driver *d)
{
	driver_write(d, VIRTIO_MMIO_STATUS, 0);
	driver_write(d, VIRTIO_MMIO_STATUS, 1);
	driver_write(d, VIRTIO_MMIO_STATUS, 3);
}

static uint32_t offer_back(struct driver *d, uint64_t features, uint32_t page2)
{
	to_driver(d);
	for (uint32_t page = 0; page < 2; page++) {
		driver_write(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, page);
		driver_write(d, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32 * page));
	}
	driver_write(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 2);
	driver_write(d, VIRTIO_MMIO_DRIVER_FEATURES, page2);
	driver_write(d, VIRTIO_MMIO_STATUS, 0xb);
	return driver_read(d, VIRTIO_MMIO_STATUS);
}

static void test_features(void)
{
	const uint64_t all = FAKE_FEATURE_A | FAKE_FEATURE_B | VERSION_1 | 1ULL << 28 | 1ULL << 29;
	struct driver d;
	struct fake *fake = fixture(&d);

	driver_write(&d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_DEVICE_FEATURES), (uint32_t)all);
	driver_write(&d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_DEVICE_FEATURES), (uint32_t)(all >> 32));
	for (uint32_t page = 2; page != 0; page *= 2) {
		driver_write(&d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, page);
		CHECK_INT(driver_read(&d, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	}
	CHECK_INT(offer_back(&d, all, 0), 0xb);
	CHECK(fake->device.driver_features == all);
	CHECK_INT(offer_back(&d, VERSION_1, 0), 0xb);
	/* Too old, not offered, from a page that does not exist. */
	CHECK_INT(offer_back(&d, FAKE_FEATURE_A, 0), 3);
	CHECK_INT(offer_back(&d, VERSION_1 | 1, 0), 3);
	CHECK_INT(offer_back(&d, VERSION_1 | 1ULL << 63, 0), 3);
	CHECK_INT(offer_back(&d, VERSION_1, 1), 3);
	/* Refused is not the end: §3.1.1 step 6 lets the driver see it and stop. */
	CHECK(!driver_needs_reset(&d));
	/* Final after FEATURES_OK. */
	CHECK_INT(offer_back(&d, VERSION_1, 0), 0xb);
	driver_write(&d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	driver_write(&d, VIRTIO_MMIO_DRIVER_FEATURES, FAKE_FEATURE_A);
	CHECK(fake->device.driver_features == VERSION_1);
	done(&d);
}

static void test_status(void)
{
	/* From 0: what is written one after the other, and whether it is a fault. */
	const struct {
		uint32_t writes[4];
		bool fault;
	} table[] = {
		{ { 1, 3, 0x83 }, false }, { { 2 }, true },	   { { 8 }, true },
		{ { 4 }, true },	   { { 1, 2 }, true },	   { { 1, 3, 1 }, true },
		{ { 1, 3, 7 }, true },	   { { 1, 1, 3 }, false }, { { 1, 3, 0xf }, true },
	};
	struct driver d;
	struct fake *fake = fixture(&d);

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		driver_write(&d, VIRTIO_MMIO_STATUS, 0);
		CHECK_INT(driver_read(&d, VIRTIO_MMIO_STATUS), 0);
		for (size_t j = 0; j < 4 && table[i].writes[j] != 0; j++)
			driver_write(&d, VIRTIO_MMIO_STATUS, table[i].writes[j]);
		CHECK_INT(driver_needs_reset(&d), table[i].fault);
		/* Before DRIVER_OK nobody is told but by the status. */
		CHECK_INT(driver_read(&d, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	}
	CHECK_INT(fake->activated, 0);
	driver_start(&d, ~0ULL);
	CHECK_INT(fake->activated, 1);
	driver_write(&d, VIRTIO_MMIO_STATUS, 0xf); /* again: nothing new */
	CHECK_INT(fake->activated, 1);
	driver_write(&d, VIRTIO_MMIO_STATUS, 0x8f);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_STATUS), 0x8f);
	driver_write(&d, VIRTIO_MMIO_STATUS, 0);
	CHECK_INT(fake->reset, 1);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_STATUS), 0);
	loop_step(d.loop, 100);
	CHECK(fake->synced > 0);
	driver_start(&d, ~0ULL);
	CHECK_INT(fake->activated, 2);
	done(&d);
}

static void test_queues(void)
{
	struct driver d;
	struct fake *fake = fixture(&d);
	struct driver_ring *ring = &d.rings[0];

	driver_init_ring(&d, ring, 16);
	/* Not before FEATURES_OK. */
	driver_write(&d, VIRTIO_MMIO_QUEUE_NUM, 16);
	driver_write(&d, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)ring->desc_gpa);
	driver_write(&d, VIRTIO_MMIO_QUEUE_READY, 1);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_QUEUE_READY), 0);
	CHECK(!driver_needs_reset(&d));
	CHECK_INT(offer_back(&d, VERSION_1, 0), 0xb);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_QUEUE_NUM_MAX), 16);
	for (uint32_t queue = FAKE_QUEUES; queue != 0; queue *= 2) {
		driver_write(&d, VIRTIO_MMIO_QUEUE_SEL, queue);
		CHECK_INT(driver_read(&d, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
		CHECK_INT(driver_read(&d, VIRTIO_MMIO_QUEUE_READY), 0);
		driver_write(&d, VIRTIO_MMIO_QUEUE_NUM, 16);
		driver_write(&d, VIRTIO_MMIO_QUEUE_READY, 1);
		driver_write(&d, VIRTIO_MMIO_QUEUE_READY, 0);
	}
	CHECK(!driver_needs_reset(&d));
	/* A queue that cannot be made ready is the driver's fault. */
	driver_write(&d, VIRTIO_MMIO_QUEUE_SEL, 1);
	driver_write(&d, VIRTIO_MMIO_QUEUE_NUM, 16);
	driver_write(&d, VIRTIO_MMIO_QUEUE_DESC_HIGH, 1);
	driver_write(&d, VIRTIO_MMIO_QUEUE_READY, 1);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_QUEUE_READY), 0);
	CHECK(driver_needs_reset(&d));
	driver_start(&d, ~0ULL);
	CHECK(!driver_needs_reset(&d));
	/* A queue taken back is silent, and not to be had again before a reset. */
	driver_write(&d, VIRTIO_MMIO_QUEUE_SEL, 0);
	driver_write(&d, VIRTIO_MMIO_QUEUE_READY, 0);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_QUEUE_READY), 0);
	ring_publish(&d.rings[0], 3);
	driver_write(&d, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	loop_step(d.loop, 100);
	CHECK_INT(d.rings[0].used->idx, 0);
	driver_write(&d, VIRTIO_MMIO_QUEUE_READY, 1);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_QUEUE_READY), 0);
	CHECK(fake->device.queues[1].ready);
	driver_write(&d, VIRTIO_MMIO_QUEUE_NOTIFY, FAKE_QUEUES);
	CHECK(driver_needs_reset(&d));
	done(&d);
}

static void test_kick_and_interrupt(void)
{
	struct driver d;
	struct fake *fake = fixture(&d);
	struct driver_buffer buffer = { DRIVER_RAM_BASE, 7 };
	struct pollfd irq;
	uint64_t one = 1;
	int head;

	driver_start(&d, ~0ULL);
	source_clear(&d.irq_source); /* by hand here */
	irq = (struct pollfd){ .fd = virtio_mmio_irq_fd(d.mmio), .events = POLLIN };
	loop_step(d.loop, 0);
	CHECK_INT(poll(&irq, 1, 0), 0);
	head = ring_add(&d.rings[1], &buffer, 0, 1);
	CHECK(write(virtio_mmio_kick_fd(d.mmio, 1), &one, sizeof(one)) == sizeof(one));
	loop_step(d.loop, 1000);
	CHECK_INT(poll(&irq, 1, 0), 1);
	CHECK_INT(d.rings[1].used->idx, 1);
	CHECK_INT(d.rings[1].used->ring[0].id, head);
	CHECK_INT(d.rings[1].used->ring[0].len, 7);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	fake->device.config_interrupt(&fake->device);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_INTERRUPT_STATUS), 3);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_CONFIG_GENERATION), 1);
	driver_write(&d, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	driver_write(&d, VIRTIO_MMIO_STATUS, 0);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	/* Not running: a kick reaches nobody. */
	fake->kicked[1] = 0;
	CHECK(write(virtio_mmio_kick_fd(d.mmio, 1), &one, sizeof(one)) == sizeof(one));
	loop_step(d.loop, 100);
	CHECK_INT(fake->kicked[1], 0);
	done(&d);
}

static char log_text[4096];

static size_t logged_lines(int fd)
{
	ssize_t n = pread(fd, log_text, sizeof(log_text) - 1, 0);
	size_t lines = 0;

	CHECK(n >= 0);
	log_text[n] = '\0';
	for (char *p = log_text; *p; p++)
		lines += *p == '\n';
	return lines;
}

/* A fault: NEEDS_RESET, a configuration interrupt, one line; the device is
 * silent until the reset and then works again; many faults, still one line. */
static void test_fault(void)
{
	struct driver d;
	struct fake *fake = fixture(&d);
	struct driver_buffer buffer = { DRIVER_RAM_BASE, 7 };
	FILE *log = tmpfile();
	int head;

	CHECK(log);
	log_set_fd(fileno(log));
	for (int i = 0; i < 50; i++) {
		driver_start(&d, ~0ULL);
		loop_step(d.loop, 0);
		fake->fail_kick = true;
		(void)ring_add(&d.rings[0], &buffer, 0, 1);
		driver_kick(&d, 0);
		driver_expect_needs_reset(&d);
		CHECK_INT(driver_read(&d, VIRTIO_MMIO_STATUS), 0x4f);
		fake->fail_kick = false;
		fake->kicked[1] = 0;
		(void)ring_add(&d.rings[1], &buffer, 0, 1);
		driver_write(&d, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
		loop_step(d.loop, 0);
		CHECK_INT(fake->kicked[1], 0);
		/* Only a reset helps. */
		driver_write(&d, VIRTIO_MMIO_STATUS, 0xf);
		CHECK(driver_needs_reset(&d));
		CHECK(d.interrupts > 0);
	}
	CHECK_INT(logged_lines(fileno(log)), 1);
	CHECK(strstr(log_text, "fake: device needs a reset: bad chain"));
	driver_start(&d, ~0ULL);
	head = ring_add(&d.rings[0], &buffer, 0, 1);
	CHECK_INT(driver_complete(&d, 0, (uint16_t)head), 7);
	fake->fail_activate = true;
	driver_write(&d, VIRTIO_MMIO_STATUS, 0);
	CHECK_INT(offer_back(&d, VERSION_1, 0), 0xb);
	driver_write(&d, VIRTIO_MMIO_STATUS, 0xf);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_STATUS), 0x4f);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	done(&d);
	log_set_fd(STDERR_FILENO);
	(void)fclose(log);
}

/* A driver that never stops adding does not keep the loop for itself. */
static enum serve_result serve_and_refill(struct virtio_device *device, struct chain *chain,
					  uint32_t *ret_written, struct error **ret_error)
{
	struct driver_ring *ring = device->transport;

	(void)chain;
	(void)ret_written;
	(void)ret_error;
	ring_publish(ring, 0);
	return SERVE_DONE;
}

static void test_budget(void)
{
	struct driver d;
	struct fake *fake = fixture(&d);
	void *transport = fake->device.transport;
	struct driver_buffer buffer = { DRIVER_RAM_BASE, 7 };
	struct error *error = NULL;
	struct pollfd kick;
	uint64_t count;

	driver_start(&d, ~0ULL);
	loop_step(d.loop, 0);
	(void)ring_add(&d.rings[0], &buffer, 0, 1);
	fake->device.transport = &d.rings[0];
	fake->device.queues[0].notified = 0;
	*(uint16_t *)&d.rings[0].avail->ring[16] = 1000; /* no interrupt: no transport */
	CHECK_OK(virtio_device_serve(&fake->device, 0, &fake->chain, serve_and_refill, &error),
		 &error);
	fake->device.transport = transport;
	CHECK_INT(d.rings[0].used->idx, 16);
	kick = (struct pollfd){ .fd = virtio_mmio_kick_fd(d.mmio, 0), .events = POLLIN };
	CHECK_INT(poll(&kick, 1, 0), 1);
	CHECK(read(kick.fd, &count, sizeof(count)) == sizeof(count));
	done(&d);
}

/* ---- state ---- */

static void save(const struct driver *d, struct virtio_mmio_state *ret_state)
{
	struct buffer own = { 0 };
	struct error *error = NULL;

	CHECK_OK(virtio_mmio_save(d->mmio, ret_state, &own, &error), &error);
	CHECK_INT(buffer_length(&own), 0);
}

/* The driver's device is another one from now on, which goes on from the state. */
static int go_on(struct driver *d, const struct virtio_mmio_state *state, struct fake **ret_fake,
		 struct error **ret_error)
{
	struct fake *fake = fake_new(false, NULL);
	struct error *error = NULL;

	fake->device.kernel_queues = d->device->kernel_queues;
	source_clear(&d->irq_source);
	virtio_mmio_free(d->mmio);
	d->device = &fake->device;
	CHECK_OK(virtio_mmio_new(d->device, &d->memory, d->loop, &d->mmio, &error), &error);
	*ret_fake = fake;
	return virtio_mmio_load(d->mmio, state, NULL, 0, ret_error);
}

/* What waits is served, nothing twice, and the registers are what they were. */
static void test_saved_and_loaded(void)
{
	struct driver d;
	struct fake *fake = fixture(&d);
	struct driver_buffer buffer = { DRIVER_RAM_BASE, 7 };
	struct virtio_mmio_state state, again;
	struct error *error = NULL;
	uint32_t written;
	uint16_t head;
	int waiting;

	driver_start(&d, ~0ULL);
	head = (uint16_t)ring_add(&d.rings[1], &buffer, 0, 1);
	CHECK_INT(driver_complete(&d, 1, head), 7);
	waiting = ring_add(&d.rings[1], &buffer, 0, 1);
	driver_write(&d, VIRTIO_MMIO_QUEUE_SEL, 1);
	driver_write(&d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	save(&d, &state);
	CHECK_OK(go_on(&d, &state, &fake, &error), &error);
	save(&d, &again);
	CHECK(memcmp(&state, &again, sizeof(state)) == 0);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_STATUS), 0xf);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_QUEUE_READY), 1);
	CHECK_INT(fake->activated, 1);
	/* It was never kicked for it, here. */
	for (int i = 0; i < 10 && fake->served == 0; i++)
		loop_step(d.loop, 10);
	CHECK_INT(fake->served, 1);
	CHECK_INT(fake->synced, 1);
	CHECK(ring_take(&d.rings[1], &head, &written) && head == waiting && written == 7);
	CHECK(!ring_take(&d.rings[1], &head, &written));
	driver_reset(&d);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_STATUS), 0);
	driver_done(&d);
}

/* An interrupt that nobody has seen yet comes again. */
static void test_saved_with_interrupt(void)
{
	struct driver d;
	struct fake *fake = fixture(&d);
	struct virtio_mmio_state state;
	struct error *error = NULL;
	struct pollfd irq;

	driver_start(&d, ~0ULL);
	source_clear(&d.irq_source);
	fake->device.config_interrupt(&fake->device);
	save(&d, &state);
	CHECK_INT(state.interrupt_status, VIRTIO_MMIO_INT_CONFIG);
	CHECK_OK(go_on(&d, &state, &fake, &error), &error);
	irq = (struct pollfd){ .fd = driver_irq_fd(&d), .events = POLLIN };
	CHECK_INT(poll(&irq, 1, 0), 1);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_CONFIG_GENERATION), 1);
	driver_done(&d);
}

/* What no driver could have done, no file can. */
static void test_bad_state(void)
{
	static const char *const messages[] = {
		"device fake: the state is of a device of type 43 with 2 queues",
		"device fake: the state is of a device of type 42 with 3 queues",
		"device fake: features 0x8000000000000000 are not this device's",
		"device fake: queue 1: ",
		"device fake: queue 1: ",
		"device fake: queue 1: index 65536 is larger than any",
		"device fake: 0x4 is not a status",
		"device fake: 0x10f is not a status",
	};
	struct driver d;
	struct virtio_mmio_state state;

	(void)fixture(&d);
	driver_start(&d, ~0ULL);
	save(&d, &state);
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		struct virtio_mmio_state bad = state;
		_cleanup_error_ struct error *error = NULL;
		struct fake *fake;

		bad.type += i == 0;
		bad.n_queues += i == 1;
		bad.driver_features = i == 2 ? 1ULL << 63 : bad.driver_features;
		bad.queues[1].layout.used = i == 3 ? 1ULL << 40 : bad.queues[1].layout.used;
		bad.queues[1].layout.size = i == 4 ? 12 : bad.queues[1].layout.size;
		bad.queues[1].next_avail = i == 5 ? 65536 : bad.queues[1].next_avail;
		bad.status = i == 6 ? 4 : i == 7 ? 0x10f : bad.status;
		CHECK_INT(go_on(&d, &bad, &fake, &error), -1);
		CHECK(strncmp(error->message, messages[i], strlen(messages[i])) == 0);
		CHECK_INT(fake->activated, 0);
		CHECK_INT(driver_read(&d, VIRTIO_MMIO_STATUS), 0);
	}
	driver_done(&d);
}

/* vCPUs reset, start and read while the loop serves kicks. */
struct vcpu {
	struct driver *d;
	_Atomic bool *stop;
};

static void *read_registers(void *data)
{
	struct vcpu *vcpu = data;

	while (!atomic_load(vcpu->stop)) {
		(void)driver_read(vcpu->d, VIRTIO_MMIO_STATUS);
		(void)driver_read(vcpu->d, VIRTIO_MMIO_INTERRUPT_STATUS);
		(void)driver_read(vcpu->d, VIRTIO_MMIO_QUEUE_READY);
		driver_write(vcpu->d, VIRTIO_MMIO_INTERRUPT_ACK, 3);
		driver_write(vcpu->d, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	}
	return NULL;
}

static void *run_loop(void *data)
{
	struct vcpu *vcpu = data;

	while (!atomic_load(vcpu->stop))
		loop_step(vcpu->d->loop, 1);
	return NULL;
}

static void test_reset_at_any_time(void)
{
	struct driver d;
	_Atomic bool stop = false;
	struct vcpu vcpu = { &d, &stop };
	struct fake *fake = fixture(&d);
	pthread_t threads[2];
	struct driver_buffer buffer = { DRIVER_RAM_BASE, 7 };

	CHECK(pthread_create(&threads[0], NULL, run_loop, &vcpu) == 0);
	CHECK(pthread_create(&threads[1], NULL, read_registers, &vcpu) == 0);
	for (int i = 0; i < RESETS; i++) {
		d.ram_used = 0;
		driver_start(&d, ~0ULL);
		for (int j = 0; j < 4; j++)
			(void)ring_add(&d.rings[0], &buffer, 0, 1);
		driver_write(&d, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
		driver_write(&d, VIRTIO_MMIO_STATUS, 0);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK_INT(fake->activated, RESETS);
	CHECK_INT(fake->reset, RESETS);
	done(&d);
}

static void wait_until(const _Atomic bool *flag)
{
	while (!atomic_load(flag))
		(void)poll(NULL, 0, 1);
}

/* A queue that the kernel serves (here a worker stands for it) is none of the loop's; a pause stops
 * it alone, and its place is known then. */
static void test_kernel_queue(void)
{
	struct driver_buffer buffer;
	struct virtio_mmio_state state;
	struct buffer own = { 0 };
	struct error *error = NULL;
	struct driver d;
	struct fake *fake = fake_new(false, &freed);

	freed = false;
	fake->device.kernel_queues = 1U << 1;
	driver_init(&d, &fake->device, 1 << 20);
	driver_start(&d, ~0ULL);
	buffer = (struct driver_buffer){ driver_alloc(&d, 16, 16), 16 };
	CHECK_INT(driver_complete(&d, 0, (uint16_t)ring_add(&d.rings[0], &buffer, 0, 1)), 16);
	CHECK(fake->kicked[0] > 0 && !fake->workers[0].running && fake->workers[1].running);
	(void)ring_add(&d.rings[1], &buffer, 0, 1);
	driver_notify(&d, 1);
	wait_until(&fake->at_work);
	virtio_mmio_pause(d.mmio);
	CHECK(!fake->workers[1].running);
	CHECK_OK(virtio_mmio_save(d.mmio, &state, &own, &error), &error);
	buffer_done(&own);
	CHECK_INT(state.queues[1].ready, 1);
	CHECK_INT(state.queues[1].next_avail, 1);
	CHECK_INT(d.rings[1].used->idx, 1);
	atomic_store(&fake->at_work, false);
	(void)ring_add(&d.rings[1], &buffer, 0, 1);
	driver_notify(&d, 1);
	loop_step(d.loop, 1);
	CHECK(!atomic_load(&fake->at_work));
	virtio_mmio_resume(d.mmio);
	wait_until(&fake->at_work);
	/* Another one that goes on from there begins when it is told to, not when it is loaded. */
	CHECK_OK(go_on(&d, &state, &fake, &error), &error);
	CHECK(fake->device.active && !fake->workers[1].running);
	virtio_mmio_resume(d.mmio);
	CHECK(fake->workers[1].running);
	wait_until(&fake->at_work);
	driver_reset(&d);
	CHECK(!fake->workers[1].running);
	CHECK_INT(fake->kicked[1], 0);
	/* Without a driver there is nothing to stop. */
	virtio_mmio_pause(d.mmio);
	virtio_mmio_resume(d.mmio);
	CHECK(!fake->workers[1].running);
	done(&d);
}

/* Who raises the interrupt without us cannot say why: any may be for a queue. */
static void test_interrupt_fd(void)
{
	struct driver d;
	struct fake *fake = fixture(&d);

	driver_start(&d, ~0ULL);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	CHECK_INT(fake->device.interrupt_fd(&fake->device), driver_irq_fd(&d));
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	driver_write(&d, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	fake->device.config_interrupt(&fake->device);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_INTERRUPT_STATUS),
		  VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);
	driver_reset(&d);
	CHECK_INT(driver_read(&d, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	done(&d);
}

static const struct test_case cases[] = {
	{ "identity", test_identity },
	{ "access sizes", test_access_sizes },
	{ "features", test_features },
	{ "status", test_status },
	{ "queues", test_queues },
	{ "kick and interrupt", test_kick_and_interrupt },
	{ "fault", test_fault },
	{ "budget", test_budget },
	{ "saved and loaded", test_saved_and_loaded },
	{ "saved with an interrupt", test_saved_with_interrupt },
	{ "bad state", test_bad_state },
	{ "reset at any time", test_reset_at_any_time },
	{ "a queue that the kernel serves", test_kernel_queue },
	{ "interrupts of others", test_interrupt_fd },
};

TEST_MAIN(cases)
