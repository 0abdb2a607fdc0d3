/* SPDX-License-Identifier: Apache-2.0 */
/* Pairs of queues and their links: see net-device.h. */
#include <endian.h>
#include <sys/epoll.h>

#include "virtio/net-device.h"

void net_drop_frame(struct net *net, const char *reason)
{
	uint32_t suppressed;

	net->dropped++;
	if (ratelimit_pass(&net->drops, &suppressed)) {
		log_warning("net: frame dropped: %s (%llu dropped)", reason,
			    (unsigned long long)net->dropped);
		net->dropped = 0;
	}
}

void net_lose_link(struct net *net, const struct error *error)
{
	log_warning("net: the link is down: %s", error->message);
	for (unsigned i = 0; i < net->n_pairs; i++) {
		source_clear(&net->pairs[i].source);
		net_link_close(&net->pairs[i].link);
	}
	net->config.status &= htole16((uint16_t)~VIRTIO_NET_S_LINK_UP);
	if (net->device.active)
		net->device.config_interrupt(&net->device);
}

void net_watch_link(struct net_pair *pair)
{
	uint32_t events = (pair->wants_input ? EPOLLIN : 0U) | (pair->blocked ? EPOLLOUT : 0U);
	_cleanup_error_ struct error *error = NULL;

	if (events == 0 || pair->link.fd < 0) {
		source_clear(&pair->source);
	} else if (pair->source) {
		if (events != pair->events)
			source_set_events(pair->source, events);
	} else if (loop_add_io(pair->net->device.loop, pair->link.fd, events, "net-link",
			       pair->net->on_link, pair, &pair->source, &error) < 0) {
		net_lose_link(pair->net, error);
	}
	pair->events = events;
}

/* ---- the kernel's vhost-net ---- */

static void stop_vhost(struct net_pair *pair)
{
	net_vhost_stop(&pair->vhost, &pair->net->device, net_receive_queue(pair));
	net_vhost_stop(&pair->vhost, &pair->net->device, net_transmit_queue(pair));
}

void net_stop_vhost(struct net *net)
{
	for (unsigned i = 0; i < net->n_pairs; i++)
		stop_vhost(&net->pairs[i]);
}

void net_watch_vhost(struct net_pair *pair)
{
	struct virtio_device *device = &pair->net->device;
	_cleanup_error_ struct error *error = NULL;

	if (!device->active || pair->vhost.fd < 0)
		source_clear(&pair->vhost_source);
	else if (!pair->vhost_source &&
		 loop_add_io(device->loop, pair->vhost.error_fd, EPOLLIN, "net-vhost",
			     pair->net->on_vhost_error, pair, &pair->vhost_source, &error) < 0)
		virtio_device_fault(device, error);
}

/* ---- on and off ---- */

int net_pair_turn_on(struct net_pair *pair, struct error **ret_error)
{
	struct virtio_device *device = &pair->net->device;

	if (!pair->on && net_link_attach(&pair->link, true, ret_error) < 0)
		return -1;
	if (device->active && net_vhost_begin(&pair->vhost, device, ret_error) < 0) {
		net_pair_turn_off(pair);
		return -1;
	}
	pair->on = true;
	return 0;
}

void net_pair_turn_off(struct net_pair *pair)
{
	/* A tap keeps one queue. */
	if (pair->index == 0)
		return;
	stop_vhost(pair);
	(void)net_link_attach(&pair->link, false, NULL);
	pair->on = false;
	pair->wants_input = pair->blocked = false;
}

int net_set_pairs(struct net *net, unsigned n, struct error **ret_error)
{
	const unsigned before = net->n_on;

	for (unsigned i = before; i < n; i++)
		if (net_pair_turn_on(&net->pairs[i], ret_error) < 0) {
			while (i-- > before)
				net_pair_turn_off(&net->pairs[i]);
			return -1;
		}
	for (unsigned i = n; i < net->n_pairs; i++)
		net_pair_turn_off(&net->pairs[i]);
	net->n_on = n;
	return 0;
}

void net_pair_start(struct net_pair *pair)
{
	struct virtio_device *device = &pair->net->device;

	for (unsigned queue = net_receive_queue(pair); queue <= net_transmit_queue(pair); queue++)
		if (device->queues[queue].ready)
			virtio_device_start_queue(device, queue);
}
