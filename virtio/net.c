/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device: virtio 1.2 §5.1.  What is at the other end of the link, net-link.c
 * knows; here are the queues.
 *
 * Received frames are read into a buffer of the link's and copied into as many of the
 * driver's as it takes (MRG_RXBUF).  Where there are too few, the frame stays where it is
 * and the link is not watched, until the driver kicks the queue.
 *
 * Frames to be sent are not copied; their header is, and only what was checked goes on to
 * the tap.  A frame that cannot be is dropped, as on a cable, and does not break the device.
 * Where the link takes no more, the frames wait in their queue for EPOLLOUT.
 *
 * With vhost (net-vhost.h) the kernel does all that, checks included: frames and their two
 * queues are not seen here, except that a driver breaks the rules.
 *
 * The control queue has nothing to control but the address that the driver says it has:
 * every frame is the guest's, for the link has no other end there; and that the driver has
 * confirmed an announcement.  (Behind vhost-user the
 * front-end has a control queue and a configuration space itself, and this one's are not used.)
 */
#include <endian.h>
#include <errno.h>
#include <limits.h>
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
#include "virtio/net-header.h"
#include "virtio/net-link.h"
#include "virtio/net-vhost.h"
#include "virtio/queue.h"

#define NET_QUEUE_SIZE 256
#define NET_RECEIVE_MAX 64 /* frames at a time: other sources of the loop get their turn */
#define BIT(feature) (1ULL << VIRTIO_NET_F_##feature)

enum { RECEIVE_QUEUE, TRANSMIT_QUEUE, CONTROL_QUEUE, N_QUEUES };

struct net {
	struct virtio_device device;
	struct virtio_net_config config;
	uint8_t mac[ETH_ALEN]; /* until the driver says another */
	struct net_link link;
	struct net_vhost vhost;
	struct source *vhost_source;
	struct source *source; /* of the link */
	uint32_t events;       /* that it is watched for */
	bool wants_input;      /* there may be buffers for frames */
	bool blocked;	       /* frames to be sent wait for the link */
	struct ratelimit drops;
	uint64_t dropped; /* since the last log line */
	struct chain first, chain;
	struct {
		uint16_t head;
		uint32_t written;
	} filled[VIRTQ_SIZE_MAX]; /* buffers with parts of one frame */
	struct iovec iov[1 + VIRTQ_SIZE_MAX];
};

static void on_link(void *data, uint32_t events);

static bool negotiated(const struct net *net, uint64_t feature)
{
	return net->device.driver_features & feature;
}

static void drop(struct net *net, const char *reason)
{
	uint32_t suppressed;

	net->dropped++;
	if (ratelimit_pass(&net->drops, &suppressed)) {
		log_warning("net: frame dropped: %s (%llu dropped)", reason,
			    (unsigned long long)net->dropped);
		net->dropped = 0;
	}
}

/* ---- the link ---- */

static void lose_link(struct net *net, const struct error *error)
{
	log_warning("net: the link is down: %s", error->message);
	source_clear(&net->source);
	net_link_close(&net->link);
	net->config.status &= htole16((uint16_t)~VIRTIO_NET_S_LINK_UP);
	if (net->device.active)
		net->device.config_interrupt(&net->device);
}

void net_set_link(struct virtio_device *device, bool up)
{
	struct net *net = (struct net *)device;
	const uint16_t bit = htole16(VIRTIO_NET_S_LINK_UP);
	uint16_t before;

	(void)pthread_mutex_lock(&device->lock);
	before = net->config.status;
	net->config.status &= (uint16_t)~bit;
	if (up && net->link.fd >= 0)
		net->config.status |= bit;
	if (net->config.status != before && device->active)
		device->config_interrupt(device);
	(void)pthread_mutex_unlock(&device->lock);
}

static void watch_link(struct net *net)
{
	uint32_t events = (net->wants_input ? EPOLLIN : 0U) | (net->blocked ? EPOLLOUT : 0U);
	_cleanup_error_ struct error *error = NULL;

	if (events == 0 || net->link.fd < 0) {
		source_clear(&net->source);
	} else if (net->source) {
		if (events != net->events)
			source_set_events(net->source, events);
	} else if (loop_add_io(net->device.loop, net->link.fd, events, "net-link", on_link, net,
			       &net->source, &error) < 0) {
		lose_link(net, error);
	}
	net->events = events;
}

/* ---- receiving ---- */

enum placed { PLACED_FAULT = -1, PLACED_LATER, PLACED };

/* The next buffer: 1, or 0 when there is none and the driver will kick, or -1. */
static int pop_buffer(struct net *net, struct chain *chain, struct error **ret_error)
{
	struct virtq *vq = &net->device.queues[RECEIVE_QUEUE];
	int r;

	do
		r = virtq_pop(vq, chain, ret_error);
	while (r == 0 && virtq_enable_kicks(vq));
	if (r > 0 && chain->n_out > 0)
		return error_set(ret_error, EPROTO, "receive buffer that is not write-only");
	if (r > 0 && chain == &net->first && chain->in_size < NET_HEADER_SIZE)
		return error_set(ret_error, EPROTO, "receive buffer of %u bytes", chain->in_size);
	return r;
}

/* All that the frame takes, at once: a driver that sees the first looks for the others. */
static void push_buffers(struct net *net, const struct net_frame *frame, uint16_t n)
{
	struct virtq *vq = &net->device.queues[RECEIVE_QUEUE];
	struct virtio_net_hdr_v1 header = frame->header;

	header.num_buffers = htole16(n);
	(void)chain_write(&net->first, 0, &header, sizeof(header));
	for (uint16_t i = 0; i < n; i++)
		virtq_fill(vq, net->filled[i].head, net->filled[i].written);
	virtq_flush(vq);
}

static enum placed place_frame(struct net *net, const struct net_frame *frame,
			       struct error **ret_error)
{
	struct virtq *vq = &net->device.queues[RECEIVE_QUEUE];
	uint32_t done = 0, at = NET_HEADER_SIZE;
	uint16_t n = 0;

	while (n == 0 || done < frame->size) {
		struct chain *chain = n == 0 ? &net->first : &net->chain;
		uint32_t part;
		int r;

		if (n > 0 && n >= vq->size)
			return error_set(ret_error, EPROTO, "%u receive buffers are too small", n);
		r = pop_buffer(net, chain, ret_error);
		if (r <= 0) {
			virtq_unpop(vq, n);
			return r == 0 ? PLACED_LATER : PLACED_FAULT;
		}
		part = MIN(chain->in_size - at, frame->size - done);
		if (part < frame->size && !negotiated(net, BIT(MRG_RXBUF))) {
			virtq_unpop(vq, 1);
			drop(net, "larger than the driver's buffer");
			return PLACED;
		}
		(void)chain_write(chain, at, frame->bytes + done, part);
		net->filled[n].head = chain->head;
		net->filled[n++].written = at + part;
		done += part;
		at = 0;
	}
	push_buffers(net, frame, n);
	return PLACED;
}

static enum placed receive_frame(struct net *net, struct net_frame *frame, struct error **ret_error)
{
	const char *problem =
	    net_header_clean(net->device.driver_features, true, &frame->header, frame->size);
	enum placed placed;

	/* The tap may have it from before the last driver's reset. */
	if (problem) {
		drop(net, problem);
		placed = PLACED;
	} else {
		placed = place_frame(net, frame, ret_error);
	}
	if (placed == PLACED)
		net_link_consume(&net->link, frame);
	return placed;
}

/* As many as there are, have room, and are due at a time. */
static int receive(struct net *net, struct error **ret_error)
{
	struct virtio_device *device = &net->device;
	struct virtq *vq = &device->queues[RECEIVE_QUEUE];
	_cleanup_error_ struct error *lost = NULL;
	enum net_result result = NET_DONE;
	enum placed placed = PLACED;
	struct net_frame frame;
	unsigned n = 0;

	virtq_disable_kicks(vq);
	while (n < NET_RECEIVE_MAX && placed == PLACED && result == NET_DONE) {
		result = net_link_peek(&net->link, &frame, &lost);
		if (result == NET_DONE)
			placed = receive_frame(net, &frame, ret_error);
		n++;
	}
	if (result == NET_LOST)
		lose_link(net, lost);
	if (placed == PLACED && result == NET_DONE)
		virtio_device_kick_again(device, RECEIVE_QUEUE);
	net->wants_input = placed == PLACED;
	watch_link(net);
	if (virtq_should_notify(vq))
		device->interrupt(device, RECEIVE_QUEUE);
	return placed == PLACED_FAULT ? -1 : 0;
}

/* ---- sending ---- */

static enum serve_result transmit(struct virtio_device *device, struct chain *chain,
				  uint32_t *ret_written, struct error **ret_error)
{
	struct net *net = (struct net *)device;
	_cleanup_error_ struct error *lost = NULL;
	struct virtio_net_hdr_v1 header;
	const char *problem;
	enum net_result result;
	uint32_t size;
	unsigned n;

	(void)ret_written;
	if (chain->n_in > 0 || !chain_read(chain, 0, &header, sizeof(header)))
		return error_set(ret_error, EPROTO,
				 "frame to be sent that is not read-only, or without a header");
	size = chain->out_size - NET_HEADER_SIZE;
	n = 1 + chain_out_slice(chain, NET_HEADER_SIZE, size, net->iov + 1);
	problem = size < NET_FRAME_MIN || size > NET_FRAME_MAX ? "too short or too long"
		  : n > IOV_MAX
		      ? "in too many parts"
		      : net_header_clean(net->device.driver_features, false, &header, size);
	if (problem) {
		drop(net, problem);
		return SERVE_DONE;
	}
	result = net_link_send(&net->link, &header, net->iov, n, size, &lost);
	if (result == NET_LOST)
		lose_link(net, lost);
	net->blocked = result == NET_LATER;
	/* What was begun has to be finished, too. */
	if (net->link.out_start < net->link.out_end)
		net->blocked = true;
	watch_link(net);
	return result == NET_LATER ? SERVE_LATER : SERVE_DONE;
}

/* The link has room again. */
static void resume_transmit(struct net *net)
{
	_cleanup_error_ struct error *lost = NULL;
	enum net_result result = net_link_flush(&net->link, &lost);

	if (result == NET_LOST)
		lose_link(net, lost);
	if (result == NET_LATER)
		return;
	net->blocked = false;
	virtio_device_kick_again(&net->device, TRANSMIT_QUEUE);
}

/* ---- the kernel's vhost-net ---- */

static int net_start_queue(struct virtio_device *device, unsigned queue, struct error **ret_error)
{
	struct net *net = (struct net *)device;

	if (net_link_is_gone(&net->link))
		return 0;
	return net_vhost_start(&net->vhost, device, queue, net->link.fd, ret_error);
}

static void net_stop_queue(struct virtio_device *device, unsigned queue)
{
	net_vhost_stop(&((struct net *)device)->vhost, device, queue);
}

static void stop_vhost(struct net *net)
{
	for (unsigned i = 0; i < N_QUEUES; i++)
		if (net->device.kernel_queues & 1U << i)
			net_stop_queue(&net->device, i);
}

/* The kernel tells a driver that breaks the rules and a tap that is gone in one way. */
static void on_vhost_error(void *data, uint32_t events)
{
	struct net *net = data;
	struct virtio_device *device = &net->device;
	_cleanup_error_ struct error *error = NULL;
	uint64_t count;

	(void)events;
	(void)!read(net->vhost.error_fd, &count, sizeof(count));
	(void)pthread_mutex_lock(&device->lock);
	if (net_link_is_gone(&net->link)) {
		(void)error_set(&error, EBADFD, "its tap was removed");
		stop_vhost(net);
		lose_link(net, error);
	} else if (device->active) {
		(void)error_set(&error, EPROTO, "the kernel's vhost-net refused a ring or a frame");
		virtio_device_fault(device, error);
	}
	(void)pthread_mutex_unlock(&device->lock);
}

static void watch_vhost(struct net *net)
{
	const struct virtio_device *device = &net->device;
	_cleanup_error_ struct error *error = NULL;

	if (atomic_load(&device->broken))
		stop_vhost(net);
	if (!device->active || net->vhost.fd < 0)
		source_clear(&net->vhost_source);
	else if (!net->vhost_source &&
		 loop_add_io(device->loop, net->vhost.error_fd, EPOLLIN, "net-vhost",
			     on_vhost_error, net, &net->vhost_source, &error) < 0)
		virtio_device_fault(&net->device, error);
}

/* ---- the device ---- */

static void on_link(void *data, uint32_t events)
{
	struct net *net = data;
	struct virtio_device *device = &net->device;
	_cleanup_error_ struct error *error = NULL;

	(void)pthread_mutex_lock(&device->lock);
	if (!device->active || atomic_load(&device->broken)) {
		net->wants_input = net->blocked = false;
	} else {
		if (net->blocked && events & ~(uint32_t)EPOLLIN)
			resume_transmit(net);
		if (net->wants_input && events & ~(uint32_t)EPOLLOUT && receive(net, &error) < 0)
			virtio_device_fault(device, error);
	}
	watch_link(net);
	(void)pthread_mutex_unlock(&device->lock);
}

/* ---- the control queue: §5.1.6.5 ---- */

/* It has said, or is about to say, where it is now. */
static bool confirm_announcement(struct net *net, uint8_t command, uint32_t size)
{
	const uint16_t bit = htole16(VIRTIO_NET_S_ANNOUNCE);

	if (!negotiated(net, BIT(GUEST_ANNOUNCE)) || command != VIRTIO_NET_CTRL_ANNOUNCE_ACK ||
	    size != 0 || !(net->config.status & bit))
		return false;
	net->config.status &= (uint16_t)~bit;
	return true;
}

static bool set_mac(struct net *net, const struct chain *chain, uint32_t size)
{
	uint8_t mac[ETH_ALEN];

	if (!negotiated(net, BIT(CTRL_MAC_ADDR)) || size != sizeof(mac) ||
	    !chain_read(chain, sizeof(struct virtio_net_ctrl_hdr), mac, sizeof(mac)) || mac[0] & 1)
		return false;
	memcpy(net->config.mac, mac, sizeof(mac));
	return true;
}

/* Two tables, unicast and multicast, each behind its number of entries; nothing is filtered,
 * so that only their shape is looked at. */
static bool check_mac_tables(const struct net *net, const struct chain *chain, uint32_t size)
{
	const uint64_t end = sizeof(struct virtio_net_ctrl_hdr) + (uint64_t)size;
	uint64_t at = sizeof(struct virtio_net_ctrl_hdr);

	if (!negotiated(net, BIT(CTRL_RX)))
		return false;
	for (unsigned i = 0; i < 2; i++) {
		uint32_t entries;

		if (at + sizeof(entries) > end ||
		    !chain_read(chain, (uint32_t)at, &entries, sizeof(entries)))
			return false;
		at += sizeof(entries) + (uint64_t)ETH_ALEN * le32toh(entries);
	}
	return at == end;
}

static bool check_receive_mode(const struct net *net, const struct chain *chain, uint8_t command,
			       uint32_t size)
{
	uint8_t on;

	/* The further modes are those of CTRL_RX_EXTRA, which is not offered. */
	return negotiated(net, BIT(CTRL_RX)) && command <= VIRTIO_NET_CTRL_RX_ALLMULTI &&
	       size == sizeof(on) &&
	       chain_read(chain, sizeof(struct virtio_net_ctrl_hdr), &on, sizeof(on)) && on <= 1;
}

static bool execute(struct net *net, const struct chain *chain)
{
	struct virtio_net_ctrl_hdr header;
	uint32_t size;

	if (!chain_read(chain, 0, &header, sizeof(header)))
		return false;
	size = chain->out_size - (uint32_t)sizeof(header);
	if (header.class == VIRTIO_NET_CTRL_RX)
		return check_receive_mode(net, chain, header.cmd, size);
	if (header.class == VIRTIO_NET_CTRL_MAC && header.cmd == VIRTIO_NET_CTRL_MAC_TABLE_SET)
		return check_mac_tables(net, chain, size);
	if (header.class == VIRTIO_NET_CTRL_MAC && header.cmd == VIRTIO_NET_CTRL_MAC_ADDR_SET)
		return set_mac(net, chain, size);
	if (header.class == VIRTIO_NET_CTRL_ANNOUNCE)
		return confirm_announcement(net, header.cmd, size);
	return false;
}

static enum serve_result control(struct virtio_device *device, struct chain *chain,
				 uint32_t *ret_written, struct error **ret_error)
{
	struct net *net = (struct net *)device;
	virtio_net_ctrl_ack ack;

	if (chain->in_size < sizeof(ack))
		return error_set(ret_error, EPROTO, "command without room for its answer");
	ack = execute(net, chain) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
	(void)chain_write(chain, 0, &ack, sizeof(ack));
	*ret_written = sizeof(ack);
	return SERVE_DONE;
}

static int net_kick(struct virtio_device *device, unsigned queue, struct error **ret_error)
{
	struct net *net = (struct net *)device;

	switch (queue) {
	case RECEIVE_QUEUE:
		return receive(net, ret_error);
	case TRANSMIT_QUEUE:
		return virtio_device_serve(device, queue, &net->chain, transmit, ret_error);
	default:
		return virtio_device_serve(device, queue, &net->chain, control, ret_error);
	}
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
	if (net_link_set_offloads(&net->link, wanted, ret_error) < 0)
		return -1;
	return net_vhost_begin(&net->vhost, device, ret_error);
}

static void net_reset(struct virtio_device *device)
{
	struct net *net = (struct net *)device;

	stop_vhost(net);
	(void)net_link_set_offloads(&net->link, 0, NULL);
	net_link_drop_frames(&net->link);
	memcpy(net->config.mac, net->mac, sizeof(net->mac));
	net->config.status &= htole16((uint16_t)~VIRTIO_NET_S_ANNOUNCE);
	net->wants_input = net->blocked = false;
}

static void net_sync(struct virtio_device *device)
{
	struct net *net = (struct net *)device;

	watch_vhost(net);
	watch_link(net);
}

static void net_config_read(struct virtio_device *device, uint32_t offset, void *ret_bytes,
			    uint32_t size)
{
	memcpy(ret_bytes, (const char *)&((struct net *)device)->config + offset, size);
}

/* The address that the driver has given itself, and the link as it knows it.  Frames that are under
 * way get lost, as on a cable. */
struct net_state {
	uint8_t mac[ETH_ALEN];
	uint16_t status;
};

static int net_save(struct virtio_device *device, struct buffer *state, struct error **ret_error)
{
	const struct net *net = (const struct net *)device;
	struct net_state mine = { .status = net->config.status };

	(void)ret_error;
	memcpy(mine.mac, net->config.mac, sizeof(mine.mac));
	buffer_append(state, &mine, sizeof(mine));
	return 0;
}

/* §5.1.6.5.4: the guest is to say where it is now (gratuitous ARP, unsolicited neighbour
 * advertisements). */
static void announce(struct net *net)
{
	if (!negotiated(net, BIT(GUEST_ANNOUNCE)))
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
	memcpy(net->config.mac, saved.mac, sizeof(saved.mac));
	announce(net);
	if (saved.status != net->config.status && device->driver_features)
		device->config_interrupt(device);
	return 0;
}

static void net_free(struct virtio_device *device)
{
	struct net *net = (struct net *)device;

	source_remove(net->source);
	source_remove(net->vhost_source);
	net_vhost_close(&net->vhost);
	net_link_close(&net->link);
	virtio_device_done(device);
	free(net);
}

static const struct virtio_device_ops net_ops = {
	.config_read = net_config_read,
	.activate = net_activate,
	.kick = net_kick,
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
	uint64_t features = BIT(MAC) | BIT(STATUS) | BIT(MRG_RXBUF) | BIT(CTRL_VQ) | BIT(CTRL_RX) |
			    BIT(CTRL_MAC_ADDR) | BIT(GUEST_ANNOUNCE);

	if (mtu > 0)
		features |= BIT(MTU);
	if (net->link.offloads)
		features |= BIT(CSUM) | BIT(HOST_TSO4) | BIT(HOST_TSO6) | BIT(HOST_ECN) |
			    BIT(GUEST_CSUM) | BIT(GUEST_TSO4) | BIT(GUEST_TSO6) | BIT(GUEST_ECN);
	if (net->link.offloads && net->link.udp_offloads)
		features |= BIT(HOST_USO) | BIT(GUEST_USO4) | BIT(GUEST_USO6);
	return features;
}

int net_new(const struct net_options *options, struct virtio_device **ret_device,
	    struct error **ret_error)
{
	struct net *net = xcalloc(1, sizeof(*net));

	net->device.ops = &net_ops;
	net->device.name = "net";
	net->device.type = VIRTIO_ID_NET;
	net->device.n_queues = N_QUEUES;
	net->device.queue_size_max = NET_QUEUE_SIZE;
	net->device.config_size = offsetof(struct virtio_net_config, speed);
	virtio_device_init(&net->device);
	net->vhost = (struct net_vhost){ .fd = options->vhost_fd, .error_fd = -1 };
	if (net_link_open(&net->link, options->fd, options->backend, ret_error) < 0 ||
	    net_vhost_open(&net->vhost, ret_error) < 0) {
		net_free(&net->device);
		return -1;
	}
	if (net->vhost.fd >= 0)
		net->device.kernel_queues = 1U << RECEIVE_QUEUE | 1U << TRANSMIT_QUEUE;
	net->device.features = offered_features(net, options->mtu);
	memcpy(net->mac, options->mac, sizeof(net->mac));
	memcpy(net->config.mac, options->mac, sizeof(net->mac));
	net->config.status = htole16(options->fd >= 0 ? VIRTIO_NET_S_LINK_UP : 0);
	net->config.max_virtqueue_pairs = htole16(1);
	net->config.mtu = htole16(options->mtu);
	*ret_device = &net->device;
	return 0;
}
