/* SPDX-License-Identifier: Apache-2.0 */
/* The driver of a network device: see net-guest.h. */
#include "tests/unit/net-guest.h"

#include <endian.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/io.h"
#include "tests/unit/test.h"

#define PATIENCE_NS 20000000000ULL
#define HEADER_SIZE sizeof(struct virtio_net_hdr_v1)
#define RECEIVE_AREA (4U << 20)
#define COMMAND_OFFSET (96U << 10)

struct driver guest;
gpa_t net_page;
static gpa_t area, headers;
static uint32_t area_used;
static unsigned n_headers;
static struct driver_buffer given[NET_PAIRS_MAX][256]; /* by head */
static unsigned used_pair;

void net_enter_namespace(void)
{
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		test_skip("cannot make a network namespace");
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		test_skip("cannot open /dev/net/tun");
	(void)close(fd);
	(void)write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1", NULL);
}

int net_open_vhost(bool is_vhost)
{
	const int fd = is_vhost ? open("/dev/vhost-net", O_RDWR | O_CLOEXEC) : -1;

	if (is_vhost && fd < 0)
		test_skip("cannot open /dev/vhost-net");
	return fd;
}

void net_guest_new(const struct net_options *options, uint64_t features)
{
	struct virtio_device *device;
	struct error *error = NULL;

	CHECK_OK(net_new(options, &device, &error), &error);
	driver_init(&guest, device, 8 << 20);
	net_page = driver_alloc(&guest, 128 << 10, 4096);
	headers = driver_alloc(&guest, 4096, 4096);
	area = driver_alloc(&guest, RECEIVE_AREA, 4096);
	net_guest_start(features);
}

void net_guest_start(uint64_t features)
{
	area_used = 0;
	used_pair = 0;
	driver_start(&guest, features);
}

void net_guest_use(unsigned pair)
{
	used_pair = pair;
}

static unsigned receive_queue(void)
{
	return 2 * used_pair + NET_RECEIVE;
}

static unsigned transmit_queue(void)
{
	return 2 * used_pair + NET_TRANSMIT;
}

static unsigned control_queue(void)
{
	return guest.device->driver_features & 1ULL << VIRTIO_NET_F_MQ ? guest.device->n_queues - 1
								       : NET_CONTROL;
}

void net_guest_steps(void)
{
	for (int i = 0; i < 8; i++)
		loop_step(guest.loop, 1);
}

void net_fill(uint8_t *frame, uint32_t size, unsigned seed)
{
	static const uint8_t head[] = { 0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x88, 0xb5 };

	for (uint32_t i = 0; i < size; i++)
		frame[i] = i < sizeof(head) ? head[i] : (uint8_t)(i * 7 + i / 251 + seed);
}

void net_check(const uint8_t *frame, uint32_t size, unsigned seed)
{
	static uint8_t expected[128 << 10];

	net_fill(expected, size, seed);
	CHECK(memcmp(frame, expected, size) == 0);
}

uint16_t net_guest_send(const struct virtio_net_hdr_v1 *header, const void *frame, uint32_t size)
{
	static const struct virtio_net_hdr_v1 none;
	const gpa_t at = headers + (n_headers++ % 256) * 16;
	struct driver_buffer buffers[] = { { at, HEADER_SIZE }, { net_page, size } };
	int head;

	memcpy(driver_at(&guest, at), header ? header : &none, HEADER_SIZE);
	memcpy(driver_at(&guest, net_page), frame, size);
	head = ring_add(&guest.rings[transmit_queue()], buffers, 2, 0);
	CHECK(head >= 0);
	driver_kick(&guest, transmit_queue());
	return (uint16_t)head;
}

void net_guest_sent(uint16_t head)
{
	CHECK_INT(driver_complete(&guest, transmit_queue(), head), 0);
}

void net_guest_give(unsigned n, uint32_t size)
{
	for (unsigned i = 0; i < n; i++) {
		struct driver_buffer buffer = { area + area_used % (RECEIVE_AREA - size), size };
		int head = ring_add(&guest.rings[receive_queue()], &buffer, 0, 1);

		CHECK(head >= 0);
		given[used_pair][head] = buffer;
		area_used += size;
		memset(driver_at(&guest, buffer.gpa), 0xa5, size);
	}
	driver_kick(&guest, receive_queue());
}

/* A buffer with a part of a frame. */
static const uint8_t *take_buffer(uint32_t *ret_written, bool wait)
{
	uint64_t end = clock_monotonic_ns() + PATIENCE_NS;
	uint16_t head;

	while (!ring_take(&guest.rings[receive_queue()], &head, ret_written)) {
		CHECK(wait && clock_monotonic_ns() < end);
		CHECK(!driver_needs_reset(&guest));
		loop_step(guest.loop, 10);
	}
	CHECK(*ret_written <= given[used_pair][head].length);
	return driver_at(&guest, given[used_pair][head].gpa);
}

uint32_t net_guest_take(struct virtio_net_hdr_v1 *ret_header, void *ret_frame, uint32_t max)
{
	uint32_t written, size;
	const uint8_t *bytes = take_buffer(&written, true);

	CHECK(written >= HEADER_SIZE);
	memcpy(ret_header, bytes, HEADER_SIZE);
	size = written - (uint32_t)HEADER_SIZE;
	CHECK(size <= max);
	memcpy(ret_frame, bytes + HEADER_SIZE, size);
	CHECK(le16toh(ret_header->num_buffers) > 0);
	/* All of them are there at once. */
	for (unsigned i = 1; i < le16toh(ret_header->num_buffers); i++) {
		bytes = take_buffer(&written, false);
		CHECK(written > 0 && written <= max - size);
		memcpy((uint8_t *)ret_frame + size, bytes, written);
		size += written;
	}
	return size;
}

void net_guest_expect_none(void)
{
	uint16_t head;
	uint32_t written;

	net_guest_steps();
	CHECK(!ring_take(&guest.rings[receive_queue()], &head, &written));
	CHECK(!driver_needs_reset(&guest));
}

uint8_t net_guest_command(uint8_t class, uint8_t command, const void *data, uint32_t size)
{
	const gpa_t at = net_page + COMMAND_OFFSET; /* a frame may be waiting in front of it */
	uint8_t *bytes = driver_at(&guest, at);
	struct driver_buffer buffers[] = { { at, 2 + size }, { at + 4096, 1 } };
	int head;

	bytes[0] = class;
	bytes[1] = command;
	memcpy(bytes + 2, data, size);
	bytes[4096] = 0xee;
	head = ring_add(&guest.rings[control_queue()], buffers, 1, 1);
	CHECK(head >= 0);
	CHECK_INT(driver_complete(&guest, control_queue(), (uint16_t)head), 1);
	return bytes[4096];
}

uint16_t net_guest_status(void)
{
	uint16_t status;

	driver_config_read(&guest, offsetof(struct virtio_net_config, status), &status,
			   sizeof(status));
	return le16toh(status);
}
