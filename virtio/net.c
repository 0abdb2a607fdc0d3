/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device: virtio 1.2 §5.1.  What is at the other end of the link, net-link.c
 * knows; net-device.h has the device's parts, and here it is put together.
 *
 * With vhost (net-vhost.h) the kernel moves the frames, checks included: they and their
 * queues are not seen here, except that a driver breaks the rules.
 */
#include <endian.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "virtio/devices.h"
#include "virtio/net-device.h"

#define NET_QUEUE_SIZE 256
#define BIT(feature) NET_BIT(feature)

void net_set_link(struct virtio_device *device, bool up)
{
	struct net *net = (struct net *)device;
	const uint16_t bit = htole16(VIRTIO_NET_S_LINK_UP);
	uint16_t before;

	(void)pthread_mutex_lock(&device->lock);
	before = net->config.status;
	net->config.status &= (uint16_t)~bit;
	if (up && net->pairs[0].link.fd >= 0)
		net->config.status |= bit;
	if (net->config.status != before && device->active)
		device->config_interrupt(device);
	(void)pthread_mutex_unlock(&device->lock);
}

/* The pair of a receive or transmit queue; NULL: there is none, or it is off. */
static struct net_pair *pair_of(struct net *net, unsigned queue)
{
	struct net_pair *pair = &net->pairs[queue / 2];

	if (queue / 2 >= net->n_pairs || queue == net_control_queue(net))
		return NULL;
	return pair->on ? pair : NULL;
}

/* ---- the kernel's vhost-net ---- */

static int net_start_queue(struct virtio_device *device, unsigned queue, struct error **ret_error)
{
	struct net *net = (struct net *)device;
	struct net_pair *pair = pair_of(net, queue);

	if (!pair || net_link_is_gone(&net->pairs[0].link))
		return 0;
	return net_vhost_start(&pair->vhost, device, queue, pair->link.fd, ret_error);
}

static void net_stop_queue(struct virtio_device *device, unsigned queue)
{
	net_vhost_stop(&((struct net *)device)->pairs[queue / 2].vhost, device, queue);
}

/* The kernel tells a driver that breaks the rules and a tap that is gone in one way. */
static void on_vhost_error(void *data, uint32_t events)
{
	struct net_pair *pair = data;
	struct net *net = pair->net;
	struct virtio_device *device = &net->device;
	_cleanup_error_ struct error *error = NULL;
	uint64_t count;

	(void)events;
	(void)!read(pair->vhost.error_fd, &count, sizeof(count));
	(void)pthread_mutex_lock(&device->lock);
	if (net_link_is_gone(&net->pairs[0].link)) {
		(void)error_set(&error, EBADFD, "its tap was removed");
		net_stop_vhost(net);
		net_lose_link(net, error);
	} else if (device->active) {
		(void)error_set(&error, EPROTO, "the kernel's vhost-net refused a ring or a frame");
		virtio_device_fault(device, error);
	}
	(void)pthread_mutex_unlock(&device->lock);
}

/* ---- the device ---- */

static void on_link(void *data, uint32_t events)
{
	struct net_pair *pair = data;
	struct virtio_device *device = &pair->net->device;
	_cleanup_error_ struct error *error = NULL;

	(void)pthread_mutex_lock(&device->lock);
	if (!device->active || atomic_load(&device->broken)) {
		pair->wants_input = pair->blocked = false;
	} else {
		if (pair->blocked && events & ~(uint32_t)EPOLLIN)
			net_resume_transmit(pair);
		if (pair->wants_input && events & ~(uint32_t)EPOLLOUT &&
		    net_receive(pair, &error) < 0)
			virtio_device_fault(device, error);
	}
	net_watch_link(pair);
	(void)pthread_mutex_unlock(&device->lock);
}

static int net_kick(struct virtio_device *device, unsigned queue, struct error **ret_error)
{
	struct net *net = (struct net *)device;
	struct net_pair *pair = pair_of(net, queue);

	if (queue == net_control_queue(net))
		return net_control(net, ret_error);
	if (!pair)
		return 0;
	return queue == net_receive_queue(pair) ? net_receive(pair, ret_error)
						: net_transmit(pair, ret_error);
}

/* Of vhost-user's front-end, which tells of both queues of a pair. */
static int net_enable_queue(struct virtio_device *device, unsigned queue, bool enable,
			    struct error **ret_error)
{
	struct net *net = (struct net *)device;
	struct net_pair *pair = &net->pairs[queue / 2];

	if (queue / 2 >= net->n_pairs || queue != net_receive_queue(pair))
		return 0;
	if (enable && net_pair_turn_on(pair, ret_error) < 0)
		return -1;
	if (!enable)
		net_pair_turn_off(pair);
	net_watch_link(pair);
	return 0;
}

/* The tap does what this driver leaves to it, and leaves to the driver what it takes. */
static int net_activate(struct virtio_device *device, struct error **ret_error)
{
	static const struct {
		uint64_t feature;
		unsigned offload;
	} offloads[] = {
		{ BIT(GUEST_CSUM), TUN_F_CSUM },
		{ BIT(GUEST_TSO4), TUN_F_TSO4 },
		{ BIT(GUEST_TSO6), TUN_F_TSO6 },
		{ BIT(GUEST_ECN), TUN_F_TSO_ECN },
		{ BIT(GUEST_CSUM) | BIT(GUEST_USO4) | BIT(GUEST_USO6), TUN_F_USO4 | TUN_F_USO6 },
	};
	struct net *net = (struct net *)device;
	unsigned wanted = 0;

	for (size_t i = 0; i < ARRAY_SIZE(offloads); i++)
		if ((device->driver_features & offloads[i].feature) == offloads[i].feature)
			wanted |= offloads[i].offload;
	if (net_link_set_offloads(&net->pairs[0].link, wanted, ret_error) < 0)
		return -1;
	if (net->pairs[0].vhost.fd >= 0)
		device->kernel_queues = (1U << net_control_queue(net)) - 1;
	for (unsigned i = 0; i < (net_negotiated(net, BIT(MQ)) ? net->n_on : 1U); i++)
		if (net_pair_turn_on(&net->pairs[i], ret_error) < 0)
			return -1;
	return 0;
}

static void net_reset(struct virtio_device *device)
{
	struct net *net = (struct net *)device;

	net_stop_vhost(net);
	(void)net_set_pairs(net, 1, NULL);
	(void)net_link_set_offloads(&net->pairs[0].link, 0, NULL);
	net_link_drop_frames(&net->pairs[0].link);
	memcpy(net->config.mac, net->mac, sizeof(net->mac));
	net->config.status &= htole16((uint16_t)~VIRTIO_NET_S_ANNOUNCE);
	net->pairs[0].wants_input = net->pairs[0].blocked = false;
}

static void net_sync(struct virtio_device *device)
{
	struct net *net = (struct net *)device;

	if (atomic_load(&device->broken))
		net_stop_vhost(net);
	for (unsigned i = 0; i < net->n_pairs; i++) {
		net_watch_vhost(&net->pairs[i]);
		net_watch_link(&net->pairs[i]);
	}
}

static void net_config_read(struct virtio_device *device, uint32_t offset, void *ret_bytes,
			    uint32_t size)
{
	memcpy(ret_bytes, (const char *)&((struct net *)device)->config + offset, size);
}

/* The address that the driver has given itself, the link as it knows it, and how many pairs of
 * queues it has turned on.  Frames that are under way get lost, as on a cable. */
struct net_state {
	uint8_t mac[ETH_ALEN];
	uint16_t status;
	uint16_t pairs;
};

static int net_save(struct virtio_device *device, struct buffer *state, struct error **ret_error)
{
	const struct net *net = (const struct net *)device;
	struct net_state mine = { .status = net->config.status, .pairs = (uint16_t)net->n_on };

	(void)ret_error;
	memcpy(mine.mac, net->config.mac, sizeof(mine.mac));
	buffer_append(state, &mine, sizeof(mine));
	return 0;
}

/* §5.1.6.5.4: the guest is to say where it is now (gratuitous ARP, unsolicited neighbour
 * advertisements). */
static void announce(struct net *net)
{
	if (!net_negotiated(net, BIT(GUEST_ANNOUNCE)))
		return;
	net->config.status |= htole16(VIRTIO_NET_S_ANNOUNCE);
	net->device.config_interrupt(&net->device);
}

static int net_load(struct virtio_device *device, struct packed *state, struct error **ret_error)
{
	struct net *net = (struct net *)device;
	struct net_state saved;

	if (!packed_take(state, &saved, sizeof(saved)))
		return error_set(ret_error, EINVAL, "its state is cut short");
	if (saved.mac[0] & 1)
		return error_set(ret_error, EINVAL, "its address is a group's");
	if (saved.pairs == 0 || saved.pairs > net->n_pairs ||
	    (saved.pairs > 1 && !net_negotiated(net, BIT(MQ))))
		return error_set(ret_error, EINVAL, "it had %u pairs of queues on", saved.pairs);
	net->n_on = saved.pairs;
	memcpy(net->config.mac, saved.mac, sizeof(saved.mac));
	announce(net);
	if (saved.status != net->config.status && device->driver_features)
		device->config_interrupt(device);
	return 0;
}

static void net_free(struct virtio_device *device)
{
	struct net *net = (struct net *)device;

	for (unsigned i = 0; i < net->n_pairs; i++) {
		struct net_pair *pair = &net->pairs[i];

		source_remove(pair->source);
		source_remove(pair->vhost_source);
		net_vhost_close(&pair->vhost);
		net_link_close(&pair->link);
	}
	virtio_device_done(device);
	free(net);
}

static const struct virtio_device_ops net_ops = {
	.config_read = net_config_read,
	.activate = net_activate,
	.kick = net_kick,
	.enable_queue = net_enable_queue,
	.start_queue = net_start_queue,
	.stop_queue = net_stop_queue,
	.reset = net_reset,
	.sync = net_sync,
	.save = net_save,
	.load = net_load,
	.free = net_free,
};

static uint64_t offered_features(const struct net *net, uint16_t mtu)
{
	const struct net_link *link = &net->pairs[0].link;
	uint64_t features = BIT(MAC) | BIT(STATUS) | BIT(MRG_RXBUF) | BIT(CTRL_VQ) | BIT(CTRL_RX) |
			    BIT(CTRL_MAC_ADDR) | BIT(GUEST_ANNOUNCE);

	if (mtu > 0)
		features |= BIT(MTU);
	if (net->n_pairs > 1)
		features |= BIT(MQ);
	if (link->offloads)
		features |= BIT(CSUM) | BIT(HOST_TSO4) | BIT(HOST_TSO6) | BIT(HOST_ECN) |
			    BIT(GUEST_CSUM) | BIT(GUEST_TSO4) | BIT(GUEST_TSO6) | BIT(GUEST_ECN);
	if (link->offloads && link->udp_offloads)
		features |= BIT(HOST_USO) | BIT(GUEST_USO4) | BIT(GUEST_USO6);
	return features;
}

static void give_pair(struct net *net, unsigned i, const struct net_options *options)
{
	struct net_pair *pair = &net->pairs[i];

	pair->net = net;
	pair->index = i;
	pair->on = i == 0;
	pair->link.fd = i == 0 ? options->fd : options->more_fds[i - 1];
	pair->vhost.fd = i == 0 ? options->vhost_fd : options->more_vhost_fds[i - 1];
	pair->vhost.error_fd = -1;
}

static int open_pairs(struct net *net, enum net_backend backend, struct error **ret_error)
{
	for (unsigned i = 0; i < net->n_pairs; i++)
		if (net_link_open(&net->pairs[i].link, backend, ret_error) < 0 ||
		    net_vhost_open(&net->pairs[i].vhost, ret_error) < 0 ||
		    (i > 0 && net_link_attach(&net->pairs[i].link, false, ret_error) < 0))
			return -1;
	return 0;
}

int net_new(const struct net_options *options, struct virtio_device **ret_device,
	    struct error **ret_error)
{
	struct net *net = xcalloc(1, sizeof(*net));

	net->device.ops = &net_ops;
	net->device.name = "net";
	net->device.type = VIRTIO_ID_NET;
	net->device.queue_size_max = NET_QUEUE_SIZE;
	net->device.config_size = offsetof(struct virtio_net_config, speed);
	net->device.config_apart = true;
	virtio_device_init(&net->device);
	net->n_on = 1;
	net->n_pairs = 1 + options->n_more;
	net->device.n_queues = 2 * net->n_pairs + 1;
	/* A front-end counts pairs, and has its control queue. */
	net->device.n_vhost_queues = net->n_pairs;
	net->on_link = on_link;
	net->on_vhost_error = on_vhost_error;
	for (unsigned i = 0; i < net->n_pairs; i++)
		give_pair(net, i, options);
	if (open_pairs(net, options->backend, ret_error) < 0) {
		net_free(&net->device);
		return -1;
	}
	if (net->pairs[0].vhost.fd >= 0)
		net->device.kernel_queues = (1U << 2 * net->n_pairs) - 1;
	net->device.features = offered_features(net, options->mtu);
	memcpy(net->mac, options->mac, sizeof(net->mac));
	memcpy(net->config.mac, options->mac, sizeof(net->mac));
	net->config.status = htole16(options->fd >= 0 ? VIRTIO_NET_S_LINK_UP : 0);
	net->config.max_virtqueue_pairs = htole16((uint16_t)net->n_pairs);
	net->config.mtu = htole16(options->mtu);
	*ret_device = &net->device;
	return 0;
}
