/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's vhost-net: see net-vhost.h. */
#include "virtio/net-vhost.h"

#include <errno.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stddef.h>
#include <sys/ioctl.h>

#include "base/io.h"
#include "virtio/queue.h"
#include "virtio/transport.h"

#define DEVICE "/dev/vhost-net"
/* What of a driver's features is about rings and the header's size.  The others are between
 * the driver and the tap. */
#define RING_FEATURES                                                                              \
	(1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_INDIRECT_DESC |                        \
	 1ULL << VIRTIO_RING_F_EVENT_IDX | 1ULL << VIRTIO_NET_F_MRG_RXBUF)

int net_vhost_open(struct net_vhost *vhost, struct error **ret_error)
{
	uint64_t features = 0;

	if (vhost->fd < 0)
		return 0;
	if (ioctl(vhost->fd, VHOST_GET_FEATURES, &features) < 0)
		return error_set_errno(ret_error, errno,
				       "descriptor %d: VHOST_GET_FEATURES (is it " DEVICE "?)",
				       vhost->fd);
	if ((features & RING_FEATURES) != RING_FEATURES)
		return error_set(ret_error, ENOTSUP, DEVICE " lacks features: it has 0x%llx",
				 (unsigned long long)features);
	return eventfd_new(&vhost->error_fd, ret_error);
}

void net_vhost_close(struct net_vhost *vhost)
{
	close_fdp(&vhost->fd);
	close_fdp(&vhost->error_fd);
	vhost->fd = vhost->error_fd = -1;
}

static int set_memory(const struct net_vhost *vhost, const struct guest_memory *memory,
		      struct error **ret_error)
{
	union {
		struct vhost_memory table;
		char room[offsetof(struct vhost_memory, regions) +
			  MEM_REGIONS_MAX * sizeof(struct vhost_memory_region)];
	} all = { .table.nregions = (uint32_t)memory->n_regions };

	for (size_t i = 0; i < memory->n_regions; i++)
		all.table.regions[i] = (struct vhost_memory_region){
			.guest_phys_addr = memory->regions[i].base,
			.memory_size = memory->regions[i].size,
			.userspace_addr = (uintptr_t)memory->regions[i].hva,
		};
	if (ioctl(vhost->fd, VHOST_SET_MEM_TABLE, &all.table) < 0)
		return error_set_errno(ret_error, errno, DEVICE ": VHOST_SET_MEM_TABLE");
	return 0;
}

int net_vhost_begin(struct net_vhost *vhost, const struct virtio_device *device,
		    struct error **ret_error)
{
	const uint64_t features = device->driver_features & RING_FEATURES;

	if (vhost->fd < 0)
		return 0;
	if (!device->interrupt_fd)
		return error_set(ret_error, ENOTSUP,
				 DEVICE ": this transport has no interrupt that "
					"another than the device could raise");
	if (!vhost->has_owner && ioctl(vhost->fd, VHOST_SET_OWNER) < 0)
		return error_set_errno(ret_error, errno, DEVICE ": VHOST_SET_OWNER");
	vhost->has_owner = true;
	if (set_memory(vhost, device->memory, ret_error) < 0)
		return -1;
	if (ioctl(vhost->fd, VHOST_SET_FEATURES, &features) < 0)
		return error_set_errno(ret_error, errno, DEVICE ": VHOST_SET_FEATURES 0x%llx",
				       (unsigned long long)features);
	return 0;
}

static int set_ring(const struct net_vhost *vhost, struct virtio_device *device, unsigned queue,
		    struct error **ret_error)
{
	const struct virtq *vq = &device->queues[queue];
	const unsigned index = queue % 2;
	const struct vhost_vring_state size = { index, vq->size }, base = { index, vq->next_avail };
	const struct vhost_vring_addr address = {
		.index = index,
		.desc_user_addr = (uintptr_t)vq->desc,
		.avail_user_addr = (uintptr_t)vq->avail,
		.used_user_addr = (uintptr_t)vq->used,
	};
	const struct vhost_vring_file kick = { index, device->kick_fds[queue] },
				      call = { index, device->interrupt_fd(device) },
				      error = { index, vhost->error_fd };
	const struct {
		const char *name;
		unsigned long request;
		const void *argument;
	} steps[] = {
		{ "VHOST_SET_VRING_NUM", VHOST_SET_VRING_NUM, &size },
		{ "VHOST_SET_VRING_BASE", VHOST_SET_VRING_BASE, &base },
		{ "VHOST_SET_VRING_ADDR", VHOST_SET_VRING_ADDR, &address },
		{ "VHOST_SET_VRING_CALL", VHOST_SET_VRING_CALL, &call },
		{ "VHOST_SET_VRING_ERR", VHOST_SET_VRING_ERR, &error },
		{ "VHOST_SET_VRING_KICK", VHOST_SET_VRING_KICK, &kick },
	};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (ioctl(vhost->fd, steps[i].request, steps[i].argument) < 0)
			return error_set_errno(ret_error, errno, DEVICE ": queue %u: %s", queue,
					       steps[i].name);
	return 0;
}

static int set_backend(const struct net_vhost *vhost, unsigned queue, int tap_fd)
{
	const struct vhost_vring_file backend = { queue % 2, tap_fd };

	return ioctl(vhost->fd, VHOST_NET_SET_BACKEND, &backend);
}

int net_vhost_start(struct net_vhost *vhost, struct virtio_device *device, unsigned queue,
		    int tap_fd, struct error **ret_error)
{
	/* A link that is gone takes no frames and brings none. */
	if (tap_fd < 0)
		return 0;
	if (set_ring(vhost, device, queue, ret_error) < 0)
		return -1;
	if (set_backend(vhost, queue, tap_fd) < 0)
		return error_set_errno(ret_error, errno, DEVICE ": queue %u: VHOST_NET_SET_BACKEND",
				       queue);
	vhost->runs[queue % 2] = true;
	return 0;
}

void net_vhost_stop(struct net_vhost *vhost, struct virtio_device *device, unsigned queue)
{
	struct vhost_vring_state base = { .index = queue % 2 };

	if (!vhost->runs[queue % 2])
		return;
	vhost->runs[queue % 2] = false;
	/* When it returns, the kernel is done with what it has taken. */
	(void)set_backend(vhost, queue, -1);
	if (ioctl(vhost->fd, VHOST_GET_VRING_BASE, &base) == 0)
		virtq_continue(&device->queues[queue], (uint16_t)base.num);
}
