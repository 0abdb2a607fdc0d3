/* SPDX-License-Identifier: Apache-2.0 */
/* A vhost-user front-end: see vhost-frontend.h. */
#include "tests/unit/vhost-frontend.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "tests/unit/test.h"

#define PATIENCE_NS 20000000000ULL

/* ---- messages ---- */

void frontend_send(struct driver *d, uint32_t request, uint32_t flags, const void *payload,
		   uint32_t size, const int *fds, size_t n_fds)
{
	char bytes[sizeof(struct vhost_header) + sizeof(union vhost_payload)];
	const struct vhost_header header = { request, VHOST_FLAG_VERSION | flags, size };

	CHECK(size <= sizeof(union vhost_payload));
	memcpy(bytes, &header, sizeof(header));
	if (size > 0)
		memcpy(bytes + sizeof(header), payload, size);
	CHECK_INT(send_with_fds(d->frontend->socket, bytes, sizeof(header) + size, fds, n_fds),
		  sizeof(header) + size);
}

static void read_some(struct driver *d, void *ret_bytes, size_t size)
{
	uint64_t end = clock_monotonic_ns() + PATIENCE_NS;
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(d->frontend->socket, (char *)ret_bytes + done, size - done);

		CHECK(n > 0 || (n < 0 && errno == EAGAIN));
		CHECK(clock_monotonic_ns() < end);
		if (n > 0)
			done += (size_t)n;
		else
			loop_step(d->loop, 10);
		if (d->frontend->n_lost > 0)
			test_fail(__FILE__, __LINE__, "lost: %s", d->frontend->lost);
	}
}

uint32_t frontend_expect(struct driver *d, uint32_t request, void *ret_payload, uint32_t size)
{
	struct vhost_header header;

	read_some(d, &header, sizeof(header));
	CHECK_INT(header.request, request);
	CHECK_INT(header.flags, VHOST_FLAG_VERSION | VHOST_FLAG_REPLY);
	CHECK(header.size <= size);
	read_some(d, ret_payload, header.size);
	return header.size;
}

uint64_t frontend_get(struct driver *d, uint32_t request)
{
	uint64_t value;

	frontend_send(d, request, 0, NULL, 0, NULL, 0);
	CHECK_INT(frontend_expect(d, request, &value, sizeof(value)), sizeof(value));
	return value;
}

uint64_t frontend_ask(struct driver *d, uint32_t request, const void *payload, uint32_t size,
		      const int *fds, size_t n_fds)
{
	uint64_t value;

	frontend_send(d, request, VHOST_FLAG_NEED_REPLY, payload, size, fds, n_fds);
	CHECK_INT(frontend_expect(d, request, &value, sizeof(value)), sizeof(value));
	return value;
}

void frontend_set(struct driver *d, uint32_t request, const void *payload, uint32_t size,
		  const int *fds, size_t n_fds)
{
	CHECK_INT(frontend_ask(d, request, payload, size, fds, n_fds), 0);
}

uint64_t frontend_ask_state(struct driver *d, uint32_t request, uint32_t queue, uint32_t num)
{
	const struct vhost_vring_state state = { queue, num };

	return frontend_ask(d, request, &state, sizeof(state), NULL, 0);
}

void frontend_expect_lost(struct driver *d, const char *part)
{
	uint64_t end = clock_monotonic_ns() + PATIENCE_NS;

	while (d->frontend->n_lost == 0) {
		CHECK(clock_monotonic_ns() < end);
		loop_step(d->loop, 10);
	}
	if (!strstr(d->frontend->lost, part))
		test_fail(__FILE__, __LINE__, "lost with \"%s\", not \"%s\"", d->frontend->lost,
			  part);
	CHECK(!d->device->active);
	/* Once. */
	loop_step(d->loop, 0);
	CHECK_INT(d->frontend->n_lost, 1);
}

/* ---- as QEMU does ---- */

static void set_fd(struct driver *d, uint32_t request, unsigned queue, int fd)
{
	const uint64_t value = queue;

	frontend_set(d, request, &value, sizeof(value), &fd, 1);
}

void frontend_set_memory(struct driver *d, uint32_t n_regions)
{
	struct vhost_mem_table table = { .n_regions = n_regions };
	uint64_t part = d->ram_size / n_regions & ~4095ULL;
	int fds[MEM_REGIONS_MAX];

	for (uint32_t i = 0; i < n_regions; i++) {
		uint64_t at = part * i;

		table.regions[i] = (struct vhost_region){
			.gpa = DRIVER_RAM_BASE + at,
			.size = i + 1 < n_regions ? part : d->ram_size - at,
			.user_address = FRONTEND_OFFSET + DRIVER_RAM_BASE + at,
			.file_offset = at,
		};
		fds[i] = d->ram_fd;
	}
	frontend_set(d, VHOST_SET_MEM_TABLE, &table,
		     (uint32_t)offsetof(struct vhost_mem_table, regions[n_regions]), fds,
		     n_regions);
}

static void start_ring(struct driver *d, unsigned queue)
{
	struct frontend *f = d->frontend;
	const struct driver_ring *ring = &d->rings[queue];
	const struct vhost_vring_addr addr = {
		.index = queue,
		.desc_user_addr = FRONTEND_OFFSET + ring->desc_gpa,
		.avail_user_addr = FRONTEND_OFFSET + ring->avail_gpa,
		.used_user_addr = FRONTEND_OFFSET + ring->used_gpa,
	};

	CHECK_INT(frontend_ask_state(d, VHOST_SET_VRING_NUM, queue, ring->size), 0);
	CHECK_INT(frontend_ask_state(d, VHOST_SET_VRING_BASE, queue, f->base[queue]), 0);
	frontend_set(d, VHOST_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
	set_fd(d, VHOST_SET_VRING_KICK, queue, f->kick_fds[queue]);
	set_fd(d, VHOST_SET_VRING_CALL, queue, f->call_fd);
	f->started |= 1U << queue;
}

void frontend_start(struct driver *d)
{
	struct frontend *f = d->frontend;

	frontend_set(d, VHOST_SET_FEATURES, &f->accepted, sizeof(f->accepted), NULL, 0);
	frontend_set_memory(d, 1);
	for (unsigned i = 0; i < d->device->n_queues; i++)
		if (d->rings[i].size > 0)
			start_ring(d, i);
	for (unsigned i = 0; i < d->device->n_queues; i++)
		CHECK_INT(frontend_ask_state(d, VHOST_SET_VRING_ENABLE, i, 1), 0);
}

void frontend_stop(struct driver *d)
{
	struct frontend *f = d->frontend;

	for (unsigned i = 0; i < d->device->n_queues; i++)
		CHECK_INT(frontend_ask_state(d, VHOST_SET_VRING_ENABLE, i, 0), 0);
	for (unsigned i = 0; i < d->device->n_queues; i++) {
		struct vhost_vring_state state = { i, 0 };

		if (!(f->started & 1U << i))
			continue;
		frontend_send(d, VHOST_GET_VRING_BASE, 0, &state, sizeof(state), NULL, 0);
		CHECK_INT(frontend_expect(d, VHOST_GET_VRING_BASE, &state, sizeof(state)),
			  sizeof(state));
		CHECK_INT(state.index, i);
		f->base[i] = (uint16_t)state.num;
	}
	f->started = 0;
}

/* ---- the connection ---- */

static void on_lost(void *data, const char *reason)
{
	struct frontend *f = data;

	f->n_lost++;
	(void)snprintf(f->lost, sizeof(f->lost), "%s", reason);
}

void frontend_negotiate(struct driver *d)
{
	struct frontend *f = d->frontend;

	f->features = frontend_get(d, VHOST_GET_FEATURES);
	CHECK(f->features & 1ULL << VHOST_USER_F_PROTOCOL_FEATURES);
	f->protocol_features = frontend_get(d, VHOST_GET_PROTOCOL_FEATURES);
	frontend_send(d, VHOST_SET_PROTOCOL_FEATURES, 0, &f->protocol_features,
		      sizeof(f->protocol_features), NULL, 0);
	/* QEMU 7.2 crashes when it is offered the configuration of one of these. */
	if (d->device->type == VIRTIO_ID_FS || d->device->type == VIRTIO_ID_NET)
		CHECK(!(f->protocol_features & 1ULL << VHOST_PROTOCOL_F_CONFIG));
	CHECK_INT(frontend_get(d, VHOST_GET_QUEUE_NUM),
		  d->device->type == VIRTIO_ID_NET ? d->device->n_queues / 2 : d->device->n_queues);
	frontend_set(d, VHOST_SET_OWNER, NULL, 0, NULL, 0);
	for (unsigned i = 0; i < d->device->n_queues; i++) {
		set_fd(d, VHOST_SET_VRING_CALL, i, f->call_fd);
		set_fd(d, VHOST_SET_VRING_ERR, i, f->err_fd);
	}
}

void frontend_init(struct driver *d)
{
	struct frontend *f = xcalloc(1, sizeof(*f));
	struct error *error = NULL;
	int pair[2];

	d->frontend = f;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	f->socket = pair[0];
	CHECK(set_nonblocking(f->socket, true) == 0);
	f->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(f->call_fd >= 0 && f->err_fd >= 0);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		f->kick_fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		CHECK(f->kick_fds[i] >= 0);
	}
	CHECK_OK(vhost_user_new(d->device, pair[1], d->loop, on_lost, f, &f->transport, &error),
		 &error);
	frontend_negotiate(d);
}

void frontend_done(struct driver *d)
{
	struct frontend *f = d->frontend;

	vhost_user_free(f->transport);
	(void)close(f->socket);
	(void)close(f->call_fd);
	(void)close(f->err_fd);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		(void)close(f->kick_fds[i]);
	free(f);
}
