/* SPDX-License-Identifier: Apache-2.0 */
/* virtio/vhost-user: what a front-end that keeps to the protocol sees.  (Stopping
 * and starting: test-vhost-pause.c; devices behind it: the other test-vhost-…
 * programs.) */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/virtio_config.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/test.h"
#include "tests/unit/vhost-fixture.h"
#include "virtio/devices.h"
#include "virtio/transport.h"

#define ALL (~0ULL)

/* ---- negotiation, configuration ---- */

static void negotiates(struct virtio_device *device, bool config)
{
	const uint64_t ring = 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_INDIRECT_DESC |
			      1ULL << VIRTIO_RING_F_EVENT_IDX;
	uint64_t protocol = 1ULL << VHOST_PROTOCOL_F_MQ | 1ULL << VHOST_PROTOCOL_F_REPLY_ACK |
			    1ULL << VHOST_PROTOCOL_F_RESET_DEVICE;
	uint64_t own = device->features;

	if (config)
		protocol |= 1ULL << VHOST_PROTOCOL_F_CONFIG | 1ULL << VHOST_PROTOCOL_F_BACKEND_REQ;
	driver_init(&d, device, VHOST_RAM_SIZE);
	CHECK(d.frontend->features == (own | ring | 1ULL << VHOST_USER_F_PROTOCOL_FEATURES));
	CHECK(d.frontend->protocol_features == protocol);
	driver_done(&d);
}

static void test_negotiation(void)
{
	struct virtio_device *device;
	struct error *error = NULL;
	struct blk_options blk = { .fd = memfd_create("disk", MFD_CLOEXEC), .queues = 3 };
	struct console_options console = { open("/dev/null", O_WRONLY | O_CLOEXEC), -1 };
	struct vsock_options vsock = { 3, "/nonexistent", socket(AF_UNIX, SOCK_STREAM, 0) };
	struct fake *fake = fake_new(false, NULL);

	CHECK_OK(rng_new(&device, &error), &error);
	negotiates(device, false);
	CHECK_OK(blk_new(&blk, &device, &error), &error);
	negotiates(device, true);
	CHECK_OK(console_new(&console, &device, &error), &error);
	negotiates(device, true);
	CHECK_OK(vsock_new(&vsock, &device, &error), &error);
	negotiates(device, true);
	fake->device.config_apart = true;
	negotiates(&fake->device, false);
}

/* A clone's device is taken out and put back before its guest runs (vmm/qemu/qemu-engine.c). */
static void test_negotiated_again(void)
{
	struct fake *fake = fixture(false);
	const uint64_t features = d.frontend->features;

	frontend_negotiate(&d);
	CHECK(d.frontend->features == features);
	driver_start(&d, ALL);
	CHECK_INT(fake->activated, 1);
	for (unsigned i = 0; i < 10; i++)
		serve_one(i % FAKE_QUEUES);
	CHECK_INT(fake->reset, 0);
	done();
}

static void test_config(void)
{
	struct fake *fake = fixture(false);
	uint8_t bytes[VHOST_CONFIG_MAX];
	struct vhost_config config = { .offset = 3, .size = 2, .bytes = { 0xaa, 0xbb } };

	driver_config_read(&d, 3, bytes, 2);
	CHECK(memcmp(bytes, "\x13\x14", 2) == 0);
	/* Longer than ours, and beyond it: zeroes. */
	driver_config_read(&d, 0, bytes, sizeof(bytes));
	CHECK(memcmp(bytes, fake->config, sizeof(fake->config)) == 0);
	for (size_t i = sizeof(fake->config); i < sizeof(bytes); i++)
		CHECK_INT(bytes[i], 0);
	driver_config_read(&d, 200, bytes, 56);
	CHECK_INT(bytes[0], 0);
	driver_config_read(&d, 0, bytes, 0);
	frontend_set(&d, VHOST_SET_CONFIG, &config, VHOST_CONFIG_HEADER + 2, NULL, 0);
	CHECK_INT(fake->config[3], 0xaa);
	CHECK_INT(fake->config[4], 0xbb);
	config.offset = 11; /* one byte is beyond: nothing is written */
	frontend_set(&d, VHOST_SET_CONFIG, &config, VHOST_CONFIG_HEADER + 2, NULL, 0);
	CHECK_INT(fake->config[11], 0x1b);
	config.flags = 1; /* migration: there is none */
	CHECK_INT(frontend_ask(&d, VHOST_SET_CONFIG, &config, VHOST_CONFIG_HEADER + 2, NULL, 0), 1);
	done();
}

static void on_change(void *data)
{
	(*(unsigned *)data)++;
}

static void test_config_change(void)
{
	struct fake *fake = fixture(false);
	struct vhost_header header;
	unsigned n_changes = 0;
	int pair[2];

	fake->device.config_interrupt(&fake->device); /* no channel yet: nobody hears it */
	steps();
	/* Who asked for it is told in any case. */
	vhost_user_on_change(d.frontend->transport, on_change, &n_changes);
	fake->device.config_interrupt(&fake->device);
	steps();
	CHECK_INT(n_changes, 1);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	frontend_set(&d, VHOST_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1);
	(void)close(pair[1]);
	fake->device.config_interrupt(&fake->device);
	steps();
	CHECK_INT(recv(pair[0], &header, sizeof(header), MSG_DONTWAIT), sizeof(header));
	CHECK_INT(header.request, VHOST_BACKEND_CONFIG_CHANGE_MSG);
	CHECK_INT(header.flags, VHOST_FLAG_VERSION);
	CHECK_INT(header.size, 0);
	/* A front-end that does not listen any more holds nothing up. */
	for (int i = 0; i < 10000; i++) {
		fake->device.config_interrupt(&fake->device);
		loop_step(d.loop, 0);
	}
	(void)close(pair[0]);
	fake->device.config_interrupt(&fake->device);
	steps();
	driver_start(&d, ALL);
	serve_one(0);
	done();
}

/* ---- running ---- */

static void test_requests(void)
{
	struct fake *fake = fixture(false);

	driver_start(&d, ALL);
	CHECK_INT(fake->activated, 1);
	CHECK(fake->device.driver_features ==
	      (d.frontend->accepted & ~(1ULL << VHOST_USER_F_PROTOCOL_FEATURES)));
	for (unsigned i = 0; i < 1000; i++)
		serve_one(i % FAKE_QUEUES);
	CHECK_INT(fake->served, 1000);
	CHECK(d.interrupts > 0);
	CHECK_INT(fake->reset, 0);
	done();
}

/* As QEMU's virtio-mmio has it: 1024 entries, whatever the device's own size. */
static void test_large_ring(void)
{
	struct frontend *f;
	uint16_t head;
	uint32_t written;

	(void)fixture(false);
	f = d.frontend;
	f->accepted = f->features & ~(1ULL << VIRTIO_RING_F_EVENT_IDX);
	d.rings[0].size = 1024;
	d.rings[0].desc_gpa = driver_alloc(&d, 1024 * sizeof(struct vring_desc), 16);
	d.rings[0].avail_gpa = driver_alloc(&d, 6 + 2 * 1024, 2);
	d.rings[0].used_gpa = driver_alloc(&d, 6 + 8 * 1024, 4);
	d.rings[0].desc = driver_at(&d, d.rings[0].desc_gpa);
	d.rings[0].avail = driver_at(&d, d.rings[0].avail_gpa);
	d.rings[0].used = driver_at(&d, d.rings[0].used_gpa);
	frontend_start(&d);
	/* One chain as long as the ring. */
	for (uint16_t i = 0; i < 1024; i++)
		d.rings[0].desc[i] = (struct vring_desc){
			.addr = DRIVER_RAM_BASE + VHOST_RAM_SIZE - 4096,
			.len = 1,
			.flags =
			    (uint16_t)(VRING_DESC_F_WRITE | (i < 1023 ? VRING_DESC_F_NEXT : 0)),
			.next = (uint16_t)(i + 1),
		};
	d.rings[0].chain_length[0] = 1;
	ring_publish(&d.rings[0], 0);
	driver_notify(&d, 0);
	steps();
	CHECK(ring_take(&d.rings[0], &head, &written));
	CHECK_INT(written, 1024);
	done();
}

/* Without protocol features there is no SET_VRING_ENABLE: a ring runs from its
 * kick descriptor on, and nothing is acknowledged. */
static void test_plain_frontend(void)
{
	struct fake *fake = fixture(false);
	struct frontend *f = d.frontend;
	const uint64_t none = 0;
	uint64_t kick;

	frontend_send(&d, VHOST_SET_PROTOCOL_FEATURES, 0, &none, sizeof(none), NULL, 0);
	f->accepted = f->features & ~(1ULL << VHOST_USER_F_PROTOCOL_FEATURES);
	frontend_send(&d, VHOST_SET_FEATURES, 0, &f->accepted, sizeof(f->accepted), NULL, 0);
	for (uint32_t i = 0; i < FAKE_QUEUES; i++) {
		struct driver_ring *ring = &d.rings[i];
		struct vhost_vring_state state = { i, 16 };
		struct vhost_vring_addr addr = { .index = i };
		struct vhost_mem_table table = {
			1, 0, { { DRIVER_RAM_BASE, VHOST_RAM_SIZE, 1 << 20, 0 } }
		};

		driver_init_ring(&d, ring, 16);
		ring->event_idx = true;
		addr.desc_user_addr = ring->desc_gpa - DRIVER_RAM_BASE + (1 << 20);
		addr.avail_user_addr = ring->avail_gpa - DRIVER_RAM_BASE + (1 << 20);
		addr.used_user_addr = ring->used_gpa - DRIVER_RAM_BASE + (1 << 20);
		/* Not asked for, though negotiated features would allow it. */
		frontend_send(&d, VHOST_SET_MEM_TABLE, VHOST_FLAG_NEED_REPLY, &table,
			      offsetof(struct vhost_mem_table, regions[1]), &d.ram_fd, 1);
		frontend_send(&d, VHOST_SET_VRING_NUM, 0, &state, sizeof(state), NULL, 0);
		frontend_send(&d, VHOST_SET_VRING_ADDR, 0, &addr, sizeof(addr), NULL, 0);
		kick = i;
		frontend_send(&d, VHOST_SET_VRING_KICK, 0, &kick, sizeof(kick), &f->kick_fds[i], 1);
	}
	CHECK(frontend_get(&d, VHOST_GET_FEATURES) == f->features);
	CHECK_INT(fake->activated, 1);
	serve_one(0);
	serve_one(1);
	done();
}

/* ---- descriptors ---- */

static void set_call(unsigned queue, int fd)
{
	const uint64_t value = queue | (fd < 0 ? VHOST_VRING_NO_FD : 0);

	frontend_set(&d, VHOST_SET_VRING_CALL, &value, sizeof(value), &fd, fd < 0 ? 0 : 1);
}

static uint64_t count_of(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void test_call(void)
{
	int other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	(void)fixture(false);
	driver_start(&d, ALL);
	source_clear(&d.irq_source);
	serve_one(0);
	CHECK(count_of(d.frontend->call_fd) > 0);
	/* A new one hears what the old one may have heard in vain. */
	set_call(0, other);
	CHECK_INT(count_of(other), 1);
	serve_one(0);
	CHECK_INT(count_of(other), 1);
	CHECK_INT(count_of(d.frontend->call_fd), 0);
	serve_one(1);
	CHECK_INT(count_of(other), 0);
	CHECK_INT(count_of(d.frontend->call_fd), 1);
	set_call(0, -1); /* polls */
	serve_one(0);
	CHECK_INT(count_of(other), 0);
	(void)close(other);
	driver_done(&d);
}

/* A kick descriptor is replaced under a ring that runs. */
static void test_kick(void)
{
	struct fake *fake = fixture(false);
	uint64_t value = 0;
	unsigned served;
	int old;

	driver_start(&d, ALL);
	serve_one(0);
	old = d.frontend->kick_fds[0];
	d.frontend->kick_fds[0] = eventfd(0, EFD_CLOEXEC); /* blocking: made non-blocking */
	frontend_set(&d, VHOST_SET_VRING_KICK, &value, sizeof(value), &d.frontend->kick_fds[0], 1);
	for (int i = 0; i < 20; i++)
		serve_one(0);
	served = fake->served;
	(void)add(0);
	eventfd_signal(old); /* nobody listens any more */
	(void)close(old);
	steps();
	CHECK_INT(fake->served, served);
	driver_notify(&d, 0);
	steps();
	CHECK_INT(fake->served, served + 1);
	CHECK_INT(fake->activated, 1);
	CHECK_INT(fake->reset, 0);
	done();
}

/* ---- memory ---- */

static void test_memory_replaced(void)
{
	struct fake *fake = fixture(false);

	driver_start(&d, ALL);
	for (unsigned i = 0; i < 3 * MEM_REGIONS_MAX; i++) {
		serve_one(0);
		frontend_set_memory(&d, 1 + i % MEM_REGIONS_MAX);
		serve_one(1);
	}
	CHECK_INT(fake->activated, 1);
	CHECK_INT(fake->reset, 0);
	done();
}

/* Under a worker: what it is at is done in the old memory. */
static void test_memory_replaced_at_work(void)
{
	struct fake *fake = fixture(true);

	driver_start(&d, ALL);
	for (unsigned i = 0; i < 3 * MEM_REGIONS_MAX; i++) {
		uint16_t head = add(1);

		atomic_store(&fake->at_work, false);
		driver_notify(&d, 1);
		while (!atomic_load(&fake->at_work))
			(void)sched_yield();
		frontend_set_memory(&d, 1 + i % MEM_REGIONS_MAX);
		CHECK_INT(driver_complete(&d, 1, head), 7);
	}
	CHECK_INT(fake->activated, 1);
	CHECK_INT(fake->reset, 0);
	done();
}

/* The same memory in another file, at another address of the front-end: the rings
 * are started again, and what is written goes there. */
static void test_memory_moved(void)
{
	struct fake *fake = fixture(false);
	uint8_t *old_ram;
	int old_fd;

	driver_start(&d, ALL);
	serve_one(0);
	frontend_stop(&d);
	old_ram = d.ram;
	old_fd = d.ram_fd;
	d.ram_fd = memfd_create("moved", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK(ftruncate(d.ram_fd, VHOST_RAM_SIZE) == 0);
	CHECK(pwrite(d.ram_fd, old_ram, VHOST_RAM_SIZE, 0) == VHOST_RAM_SIZE);
	d.ram = mmap(old_ram, VHOST_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		     d.ram_fd, 0);
	CHECK(d.ram == old_ram);
	(void)close(old_fd);
	frontend_start(&d);
	serve_one(0);
	CHECK_INT(fake->reset, 0);
	done();
}

/* Huge pages are mapped whole, and unmapped whole, whatever the region begins and
 * ends with. */
static void test_huge_pages(void)
{
	const uint64_t huge = 2 << 20;
	struct vhost_mem_table table = { 1, 0, { { 0, huge + 8192, 0, 4096 } } };
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_HUGE_2MB);
	void *probe = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)(2 * huge)) == 0)
		probe = mmap(NULL, 2 * huge, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (probe == MAP_FAILED) {
		(void)printf("no free huge pages here: not tested\n");
		(void)close(fd);
		return;
	}
	CHECK(munmap(probe, 2 * huge) == 0);
	(void)fixture(false);
	frontend_set(&d, VHOST_SET_MEM_TABLE, &table, offsetof(struct vhost_mem_table, regions[1]),
		     &fd, 1);
	frontend_set(&d, VHOST_SET_MEM_TABLE, &table, offsetof(struct vhost_mem_table, regions[1]),
		     &fd, 1);
	done();
	(void)close(fd);
}

/* A table without the rings, or with a buffer across two regions: the driver's
 * fault, and over with the next table and driver. */
static void test_memory_taken_away(void)
{
	struct vhost_mem_table table = { .n_regions = 0 };
	struct fake *fake = fixture(false);
	struct driver_buffer buffer = { DRIVER_RAM_BASE + VHOST_RAM_SIZE / 2 - 1, 2 };

	driver_start(&d, ALL);
	serve_one(0);
	CHECK(ftruncate(d.ram_fd, 4096) < 0 && errno == EPERM); /* sealed */
	frontend_set(&d, VHOST_SET_MEM_TABLE, &table, offsetof(struct vhost_mem_table, regions),
		     NULL, 0);
	driver_expect_needs_reset(&d);
	CHECK(!fake->device.queues[0].ready);
	CHECK_INT(d.frontend->n_lost, 0);
	driver_start(&d, ALL);
	serve_one(0);
	frontend_set_memory(&d, 2);
	(void)ring_add(&d.rings[0], &buffer, 0, 1);
	driver_kick(&d, 0);
	driver_expect_needs_reset(&d);
	done();
}

/* ---- faults, ends ---- */

/* The rings' error descriptors are signalled, the device is silent, the front-end
 * is served on, and the next driver finds the device working. */
static void test_fault(void)
{
	struct fake *fake = fixture(false);
	unsigned served;

	driver_start(&d, ALL);
	fake->fail_kick = true;
	(void)add(0);
	driver_kick(&d, 0);
	driver_expect_needs_reset(&d);
	fake->fail_kick = false;
	served = fake->served;
	(void)add(1);
	driver_notify(&d, 1);
	steps();
	CHECK_INT(fake->served, served);
	CHECK(frontend_get(&d, VHOST_GET_FEATURES) == d.frontend->features);
	driver_start(&d, ALL);
	CHECK_INT(fake->reset, 1);
	serve_one(0);
	serve_one(1);
	done();
}

/* What the guest chose, and the front-end only passes on: no reason to end. */
static void test_driver_faults(void)
{
	struct fake *fake = fixture(false);
	struct frontend *f = d.frontend;

	for (int i = 0; i < 6; i++) {
		driver_start(&d, ALL);
		frontend_stop(&d);
		frontend_set(&d, VHOST_RESET_DEVICE, NULL, 0, NULL, 0);
		switch (i) {
		case 0:
			f->accepted &= ~(1ULL << VIRTIO_F_VERSION_1);
			break;
		case 1:
			f->accepted |= 1ULL << VIRTIO_F_RING_PACKED;
			break;
		case 2:
			d.rings[1].size = 2048;
			break;
		case 3:
			d.rings[1].desc_gpa += 8;
			break;
		case 4:
			d.rings[1].used_gpa = DRIVER_RAM_BASE + VHOST_RAM_SIZE - 8;
			break;
		default:
			d.rings[1].avail_gpa = DRIVER_RAM_BASE + VHOST_RAM_SIZE;
			break;
		}
		frontend_start(&d);
		driver_expect_needs_reset(&d);
		driver_notify(&d, 0);
		steps();
		CHECK_INT(f->n_lost, 0);
	}
	driver_start(&d, ALL);
	serve_one(1);
	CHECK(fake->activated > 0);
	done();
}

/* QEMU offers ANY_LAYOUT by itself. */
static void test_any_layout(void)
{
	struct fake *fake = fixture(false);

	d.frontend->features |= 1ULL << VIRTIO_F_ANY_LAYOUT;
	driver_start(&d, ALL);
	CHECK(d.frontend->accepted & 1ULL << VIRTIO_F_ANY_LAYOUT);
	serve_one(0);
	frontend_stop(&d);
	frontend_start(&d);
	serve_one(0);
	CHECK_INT(fake->activated, 1);
	done();
}

static void test_hang_up(void)
{
	for (int has_workers = 0; has_workers < 2; has_workers++) {
		struct fake *fake = fixture(has_workers);

		driver_start(&d, ALL);
		CHECK(shutdown(d.frontend->socket, SHUT_RDWR) == 0);
		frontend_expect_lost(&d, "hung up");
		CHECK_INT(fake->reset, 1);
		driver_notify(&d, 0);
		steps();
		done();
	}
}

static void free_it(void *data, const char *reason)
{
	CHECK(strstr(reason, "hung up"));
	vhost_user_free(*(struct vhost_user **)data);
	*(struct vhost_user **)data = NULL;
}

/* The transport may be freed as soon as it is lost. */
static void test_free_when_lost(void)
{
	struct fake *fake = fake_new(false, NULL);
	struct vhost_user *transport;
	struct error *error = NULL;
	struct loop *loop;
	int pair[2];

	CHECK_OK(loop_new(&loop, &error), &error);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	CHECK_OK(
	    vhost_user_new(&fake->device, pair[0], loop, free_it, &transport, &transport, &error),
	    &error);
	CHECK(write(pair[1], "half a", 6) == 6);
	loop_step(loop, 0);
	CHECK(transport);
	(void)close(pair[1]);
	for (int i = 0; i < 5 && transport; i++)
		loop_step(loop, 100);
	CHECK(!transport);
	loop_free(loop);
}

static const struct test_case cases[] = {
	{ "negotiation", test_negotiation },
	{ "negotiated again", test_negotiated_again },
	{ "config", test_config },
	{ "config change", test_config_change },
	{ "requests", test_requests },
	{ "large ring", test_large_ring },
	{ "plain front-end", test_plain_frontend },
	{ "call", test_call },
	{ "kick", test_kick },
	{ "memory replaced", test_memory_replaced },
	{ "memory replaced at work", test_memory_replaced_at_work },
	{ "memory moved", test_memory_moved },
	{ "huge pages", test_huge_pages },
	{ "memory taken away", test_memory_taken_away },
	{ "fault", test_fault },
	{ "driver faults", test_driver_faults },
	{ "any layout", test_any_layout },
	{ "hang-up", test_hang_up },
	{ "free when lost", test_free_when_lost },
};

TEST_MAIN(cases)
