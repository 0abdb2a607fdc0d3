/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transports' common part: see transport.h.
 *
 * Kicks are watched edge-triggered: each signal is an event, whatever the
 * counter says, so nobody needs to read it.  That saves a system call for every
 * kick, and a peer that holds the other end of the descriptor (vhost-user)
 * cannot have the loop wait in a read.
 */
#include "virtio/transport.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "virtio/queue.h"

#define RING_FEATURES                                                                              \
	(1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_INDIRECT_DESC |                        \
	 1ULL << VIRTIO_RING_F_EVENT_IDX)

uint64_t transport_features(const struct virtio_device *device)
{
	return device->features | RING_FEATURES;
}

bool transport_accepts(const struct virtio_device *device, uint64_t driver_features)
{
	return (driver_features & ~transport_features(device)) == 0 &&
	       (driver_features & 1ULL << VIRTIO_F_VERSION_1);
}

int eventfd_new(int *ret_fd, struct error **ret_error)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot make an eventfd");
	*ret_fd = fd;
	return 0;
}

void eventfd_signal(int fd)
{
	uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

static void on_kick(void *data, uint32_t events)
{
	const struct kick_source *kick = data;

	(void)events;
	virtio_device_kick(kick->device, kick->queue);
}

/* Which queues are served apart may depend on what the driver has agreed to. */
static void watch_anew(struct transport *transport)
{
	struct virtio_device *device = transport->device;
	_cleanup_error_ struct error *error = NULL;
	int r = 0;

	(void)pthread_mutex_lock(&device->lock);
	for (unsigned i = 0; r == 0 && i < device->n_queues; i++)
		if (transport->kicks[i].source || transport->kicks[i].apart)
			r = transport_watch_kick(transport, i, &error);
	(void)pthread_mutex_unlock(&device->lock);
	if (r < 0)
		virtio_device_fault(device, error);
}

static void on_sync(void *data, uint32_t events)
{
	struct transport *transport = data;
	uint64_t count;

	(void)events;
	(void)!read(transport->sync_fd, &count, sizeof(count));
	watch_anew(transport);
	virtio_device_sync(transport->device);
}

int transport_init(struct transport *transport, struct virtio_device *device,
		   struct guest_memory *memory, struct loop *loop, struct error **ret_error)
{
	transport->device = device;
	transport->sync_fd = -1;
	device->queues = xcalloc(device->n_queues, sizeof(*device->queues));
	device->memory = memory;
	device->loop = loop;
	if (eventfd_new(&transport->sync_fd, ret_error) < 0 ||
	    loop_add_io(loop, transport->sync_fd, EPOLLIN, "virtio-sync", on_sync, transport,
			&transport->sync_source, ret_error) < 0)
		return -1;
	for (unsigned i = 0; i < device->n_queues; i++) {
		transport->kicks[i] = (struct kick_source){ .device = device, .queue = i };
		if (eventfd_new(&device->kick_fds[i], ret_error) < 0)
			return -1;
	}
	return 0;
}

void transport_done(struct transport *transport)
{
	struct virtio_device *device = transport->device;
	struct virtq *queues = device->queues;
	unsigned n_queues = device->n_queues;
	int fds[VIRTIO_QUEUES_MAX];

	memcpy(fds, device->kick_fds, sizeof(fds));
	source_remove(transport->sync_source);
	for (unsigned i = 0; i < n_queues; i++)
		transport_unwatch_kick(transport, i);
	device->ops->free(device);
	for (unsigned i = 0; i < n_queues; i++)
		close_fdp(&fds[i]);
	close_fdp(&transport->sync_fd);
	free(queues);
}

int transport_watch_kick(struct transport *transport, unsigned queue, struct error **ret_error)
{
	struct virtio_device *device = transport->device;
	struct kick_source *kick = &transport->kicks[queue];

	kick->apart = virtio_device_serves_apart(device, queue);
	if (kick->apart) {
		source_clear(&kick->source);
		return 0;
	}
	if (kick->source)
		return 0;
	return loop_add_io(device->loop, device->kick_fds[queue], EPOLLIN | EPOLLET, "virtio-kick",
			   on_kick, kick, &kick->source, ret_error);
}

void transport_unwatch_kick(struct transport *transport, unsigned queue)
{
	source_clear(&transport->kicks[queue].source);
	transport->kicks[queue].apart = false;
}

void transport_sync_soon(struct transport *transport)
{
	eventfd_signal(transport->sync_fd);
}
