/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile front-end of the vhost-user transport, whose device is a disk with
 * workers or one without: any messages, whole or in pieces, with any descriptors,
 * between those that a sane front-end sends; chains of any kind in the rings.  The
 * transport answers or gives up, and says so once; no request is served twice, and
 * no descriptor or mapping is left when it is gone.
 *
 * Input: one byte (bit 0: the disk), then a row of operations, each a byte (see
 * run()) and its arguments.
 */
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"
#include "tests/fuzz/input.h"
#include "tests/unit/virtio-driver.h"
#include "virtio/devices.h"
#include "virtio/queue.h"
#include "virtio/transport.h"
#include "virtio/vhost-user.h"
#include "virtio/vhost-wire.h"

#define RAM_SIZE (64U * 1024)
#define RING_SIZE 8
#define N_QUEUES 2
#define USER_BASE 0x100000ULL
#define DISK_SIZE 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct machine {
	struct driver d; /* memory and rings */
	struct loop *loop;
	struct vhost_user *transport;
	int socket;
	unsigned n_lost;
	int kick_fds[N_QUEUES], call_fd;
	gpa_t data;
};

static uint64_t take_number(struct input *input)
{
	/* Small, or near an edge. */
	static const uint64_t edges[] = { 0,
					  1,
					  4096,
					  RAM_SIZE,
					  USER_BASE,
					  DRIVER_RAM_BASE,
					  UINT32_MAX,
					  UINT64_MAX - 1,
					  UINT64_MAX & ~4095ULL };
	uint8_t what = take(input);

	if (what < 0x80)
		return what;
	return edges[what % ARRAY_SIZE(edges)] + (what & 0x40 ? take(input) : 0);
}

static unsigned count_fds(void)
{
	_cleanup_dir_ DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	check(dir);
	while (readdir(dir))
		n++;
	return n;
}

static void on_lost(void *data, const char *reason)
{
	struct machine *m = data;

	check(*reason != '\0');
	m->n_lost++;
}

static void step(struct machine *m)
{
	char bytes[4096];

	for (int i = 0; i < 3; i++)
		loop_step(m->loop, 0);
	while (recv(m->socket, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		continue;
}

/* ---- what a front-end sends ---- */

static void send_bytes(struct machine *m, const void *bytes, size_t size, const int *fds,
		       size_t n_fds)
{
	(void)!send_with_fds(m->socket, bytes, size, fds, n_fds);
}

static void send_message(struct machine *m, uint32_t request, const void *payload, uint32_t size,
			 const int *fds, size_t n_fds)
{
	char bytes[sizeof(struct vhost_header) + sizeof(union vhost_payload)];
	const struct vhost_header header = { request, VHOST_FLAG_VERSION | VHOST_FLAG_NEED_REPLY,
					     size };

	memcpy(bytes, &header, sizeof(header));
	if (size > 0)
		memcpy(bytes + sizeof(header), payload, size);
	send_bytes(m, bytes, sizeof(header) + size, fds, n_fds);
	step(m);
}

static void send_state(struct machine *m, uint32_t request, uint32_t queue, uint32_t num)
{
	const struct vhost_vring_state state = { queue, num };

	send_message(m, request, &state, sizeof(state), NULL, 0);
}

static void start_ring(struct machine *m, uint32_t queue, uint16_t base)
{
	const struct driver_ring *ring = &m->d.rings[queue];
	const struct vhost_vring_addr addr = {
		.index = queue,
		.desc_user_addr = USER_BASE + ring->desc_gpa,
		.avail_user_addr = USER_BASE + ring->avail_gpa,
		.used_user_addr = USER_BASE + ring->used_gpa,
	};
	const uint64_t value = queue;

	send_state(m, VHOST_SET_VRING_NUM, queue, RING_SIZE);
	send_state(m, VHOST_SET_VRING_BASE, queue, base);
	send_message(m, VHOST_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
	send_message(m, VHOST_SET_VRING_KICK, &value, sizeof(value), &m->kick_fds[queue], 1);
	send_message(m, VHOST_SET_VRING_CALL, &value, sizeof(value), &m->call_fd, 1);
}

/* odd, unless NULL: puts any number into one field of one region. */
static void set_memory(struct machine *m, uint32_t n, struct input *odd)
{
	struct vhost_mem_table table = { .n_regions = n };
	int fds[MEM_REGIONS_MAX];

	for (uint32_t i = 0; i < n; i++) {
		uint64_t at = RAM_SIZE / n * i & ~4095ULL, end = RAM_SIZE / n * (i + 1) & ~4095ULL;

		table.regions[i] = (struct vhost_region){ DRIVER_RAM_BASE + at, end - at,
							  USER_BASE + DRIVER_RAM_BASE + at, at };
		fds[i] = m->d.ram_fd;
	}
	if (odd) {
		uint8_t where = take(odd);
		struct vhost_region *region = &table.regions[where % n];
		uint64_t *const fields[] = { &region->gpa, &region->size, &region->user_address,
					     &region->file_offset };

		*fields[where >> 3 & 3] = take_number(odd);
		if (where & 0x80)
			fds[where % n] = m->call_fd;
	}
	send_message(m, VHOST_SET_MEM_TABLE, &table,
		     (uint32_t)offsetof(struct vhost_mem_table, regions[n]), fds, n);
}

/* Always at the same place: a new driver. */
static void place_rings(struct machine *m)
{
	m->d.ram_used = 0;
	for (unsigned i = 0; i < N_QUEUES; i++)
		driver_init_ring(&m->d, &m->d.rings[i], RING_SIZE);
	m->data = driver_alloc(&m->d, 8192, 16);
}

static void start(struct machine *m, uint8_t what)
{
	const uint64_t protocol = 1ULL << VHOST_PROTOCOL_F_REPLY_ACK;
	const uint64_t features = 1ULL << 32 | 1ULL << 28 | (what & 1 ? 1ULL << 29 : 0) |
				  (what & 2 ? 1ULL << VHOST_USER_F_PROTOCOL_FEATURES : 0);

	send_message(m, VHOST_SET_PROTOCOL_FEATURES, &protocol, sizeof(protocol), NULL, 0);
	send_message(m, VHOST_SET_FEATURES, &features, sizeof(features), NULL, 0);
	set_memory(m, 1 + (what >> 2) % 3, NULL);
	if (what & 0x20)
		place_rings(m);
	for (uint32_t i = 0; i < N_QUEUES; i++) {
		start_ring(m, i, what & 0x20 ? 0 : m->d.rings[i].used->idx);
	}
	for (uint32_t i = 0; i < N_QUEUES && what & 2; i++)
		send_state(m, VHOST_SET_VRING_ENABLE, i, 1);
}

static void stop(struct machine *m)
{
	for (uint32_t i = 0; i < N_QUEUES; i++)
		send_state(m, VHOST_GET_VRING_BASE, i, 0);
}

/* A payload of numbers, most of them plausible. */
static void send_any(struct machine *m, struct input *input)
{
	char bytes[sizeof(struct vhost_header) + sizeof(union vhost_payload) + 8] = { 0 };
	uint8_t kind = take(input);
	struct vhost_header header = { .request = take(input) };
	uint32_t words = take(input) % 40;
	int fds[FD_PASS_MAX];
	size_t n_fds = kind & 3, size, split;

	header.flags = kind & 0x40 ? take(input) : VHOST_FLAG_VERSION | (kind & 8);
	header.size = kind & 0x80 ? (uint32_t)take_number(input) : words * 4;
	if (kind & 0x20)
		n_fds = take(input) % (FD_PASS_MAX + 1);
	for (size_t i = 0; i < n_fds; i++) {
		const int choice[] = { m->d.ram_fd, m->call_fd, m->kick_fds[0], m->socket };

		fds[i] = choice[take(input) % ARRAY_SIZE(choice)];
	}
	memcpy(bytes, &header, sizeof(header));
	for (uint32_t i = 0; i < words; i++) {
		uint64_t number = take_number(input);

		memcpy(bytes + sizeof(header) + 4 * (size_t)i, &number,
		       MIN(sizeof(number), sizeof(bytes) - sizeof(header) - 4 * (size_t)i));
		if (number > UINT32_MAX)
			i++;
	}
	size = sizeof(header) + 4 * (size_t)words;
	split = kind & 0x10 ? take(input) % size : size;
	send_bytes(m, bytes, split, fds, n_fds);
	if (split < size) {
		loop_step(m->loop, 0);
		send_bytes(m, bytes + split, size - split, NULL, 0);
	}
	step(m);
}

/* One request about a ring, with any numbers. */
static void send_odd(struct machine *m, struct input *input)
{
	static const uint32_t state_requests[] = { VHOST_SET_VRING_NUM, VHOST_SET_VRING_BASE,
						   VHOST_GET_VRING_BASE, VHOST_SET_VRING_ENABLE };
	uint8_t what = take(input);
	struct vhost_vring_addr addr = { .index = what & 3, .flags = what >> 2 & 1 };
	uint64_t value = take_number(input);

	if (what < 0x80) {
		send_state(m, state_requests[what >> 4 & 3], what & 3, (uint32_t)value);
	} else if (what < 0xc0) {
		addr.desc_user_addr = USER_BASE + DRIVER_RAM_BASE + value;
		addr.avail_user_addr = USER_BASE + DRIVER_RAM_BASE + take_number(input);
		addr.used_user_addr = take_number(input);
		send_message(m, VHOST_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
	} else {
		send_message(m, VHOST_SET_VRING_KICK + (what >> 4 & 3) % 3, &value, sizeof(value),
			     what & 4 ? &m->socket : &m->call_fd, what & 1);
	}
}

/* A chain of any descriptors; the disk finds requests in some. */
static void add_chain(struct machine *m, struct input *input)
{
	uint8_t what = take(input);
	struct driver_ring *ring = &m->d.rings[what & 1];
	uint8_t *request = driver_at(&m->d, m->data);

	request[0] = take(input) % 16;
	for (unsigned i = 0; i < RING_SIZE && what & 2; i++) {
		struct vring_desc *desc = &ring->desc[i];
		uint8_t kind = take(input);

		desc->addr = kind & 0x80 ? take_number(input) : m->data + (kind & 0x70) * 32;
		desc->len = kind & 0x08 ? (uint32_t)take_number(input) : 16;
		desc->flags = kind & 7;
		desc->next = (uint16_t)((i + 1) % (RING_SIZE + (kind & 0x40 ? 1 : 0)));
	}
	__atomic_store_n(&ring->avail->ring[ring->avail->idx % RING_SIZE],
			 what & 4 ? (what >> 3) % RING_SIZE : what >> 3, __ATOMIC_RELAXED);
	__atomic_store_n(&ring->avail->idx, (uint16_t)(ring->avail->idx + 1), __ATOMIC_RELEASE);
	eventfd_signal(m->kick_fds[what & 1]);
	step(m);
}

static void run(struct machine *m, struct input *input)
{
	while (input->left > 0 && m->n_lost == 0) {
		uint8_t what = take(input);

		if (what < 0x60)
			send_any(m, input);
		else if (what < 0xa0)
			add_chain(m, input);
		else if (what < 0xc0)
			start(m, what);
		else if (what < 0xd0)
			stop(m);
		else if (what < 0xd8)
			send_message(m, VHOST_RESET_DEVICE, NULL, 0, NULL, 0);
		else if (what < 0xe0)
			set_memory(m, 1 + what % MEM_REGIONS_MAX, NULL);
		else if (what < 0xf0)
			send_state(m, VHOST_SET_VRING_ENABLE, what & 1, what >> 1 & 1);
		else if (what < 0xf6)
			set_memory(m, 1 + what % 3, input);
		else if (what < 0xff)
			send_odd(m, input);
		else
			(void)shutdown(m->socket, SHUT_WR);
		step(m);
	}
}

/* ---- the machine ---- */

static struct virtio_device *new_device(uint8_t what)
{
	struct virtio_device *device = NULL;
	struct blk_options options = { .queues = N_QUEUES };

	if (what & 1) {
		options.fd = memfd_create("disk", MFD_CLOEXEC);
		check(ftruncate(options.fd, DISK_SIZE) == 0 &&
		      blk_new(&options, &device, NULL) == 0);
	} else {
		struct console_options console = { .input_fd = -1 };

		console.output_fd = memfd_create("output", MFD_CLOEXEC);
		check(console_new(&console, &device, NULL) == 0);
	}
	return device;
}

static void machine_init(struct machine *m, uint8_t what)
{
	int pair[2];

	driver_init_memory(&m->d, RAM_SIZE);
	place_rings(m);
	for (unsigned i = 0; i < N_QUEUES; i++)
		m->kick_fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	check(loop_new(&m->loop, NULL) == 0);
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	m->socket = pair[0];
	check(vhost_user_new(new_device(what), pair[1], m->loop, on_lost, m, &m->transport, NULL) ==
	      0);
}

static void machine_done(struct machine *m)
{
	if (m->n_lost == 0) {
		(void)shutdown(m->socket, SHUT_RDWR);
		step(m);
	}
	step(m);
	check(m->n_lost == 1);
	vhost_user_free(m->transport);
	loop_free(m->loop);
	(void)close(m->socket);
	(void)close(m->call_fd);
	for (unsigned i = 0; i < N_QUEUES; i++)
		(void)close(m->kick_fds[i]);
	driver_done_memory(&m->d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	static struct machine m;
	unsigned fds_before;

	(void)signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_LEVEL_ERROR);
	fds_before = count_fds();
	memset(&m, 0, sizeof(m));
	machine_init(&m, take(&input));
	run(&m, &input);
	machine_done(&m);
	check(count_fds() == fds_before);
	return 0;
}
