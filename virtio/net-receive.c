/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames that come.  They are read into a buffer of the link's and copied into as many of the
 * driver's as it takes (MRG_RXBUF).  Where there are too few, the frame stays where it is
 * and the link is not watched, until the driver kicks the queue.
 */
#include <endian.h>
#include <errno.h>

#include "base/checked.h"
#include "virtio/net-device.h"
#include "virtio/net-header.h"

#define RECEIVE_MAX 64 /* frames at a time: other sources of the loop get their turn */

static struct virtq *receive_queue(const struct net_pair *pair)
{
	return &pair->net->device.queues[net_receive_queue(pair)];
}

enum placed { PLACED_FAULT = -1, PLACED_LATER, PLACED };

/* The next buffer: 1, or 0 when there is none and the driver will kick, or -1. */
static int pop_buffer(struct net_pair *pair, struct chain *chain, struct error **ret_error)
{
	struct virtq *vq = receive_queue(pair);
	int r;

	do
		r = virtq_pop(vq, chain, ret_error);
	while (r == 0 && virtq_enable_kicks(vq));
	if (r > 0 && chain->n_out > 0)
		return error_set(ret_error, EPROTO, "receive buffer that is not write-only");
	if (r > 0 && chain == &pair->net->first && chain->in_size < NET_HEADER_SIZE)
		return error_set(ret_error, EPROTO, "receive buffer of %u bytes", chain->in_size);
	return r;
}

/* All that the frame takes, at once: a driver that sees the first looks for the others. */
static void push_buffers(struct net_pair *pair, const struct net_frame *frame, uint16_t n)
{
	struct net *net = pair->net;
	struct virtq *vq = receive_queue(pair);
	struct virtio_net_hdr_v1 header = frame->header;

	header.num_buffers = htole16(n);
	(void)chain_write(&net->first, 0, &header, sizeof(header));
	for (uint16_t i = 0; i < n; i++)
		virtq_fill(vq, net->filled[i].head, net->filled[i].written);
	virtq_flush(vq);
}

static enum placed place_frame(struct net_pair *pair, const struct net_frame *frame,
			       struct error **ret_error)
{
	struct net *net = pair->net;
	struct virtq *vq = receive_queue(pair);
	uint32_t done = 0, at = NET_HEADER_SIZE;
	uint16_t n = 0;

	while (n == 0 || done < frame->size) {
		struct chain *chain = n == 0 ? &net->first : &net->chain;
		uint32_t part;
		int r;

		if (n > 0 && n >= vq->size)
			return error_set(ret_error, EPROTO, "%u receive buffers are too small", n);
		r = pop_buffer(pair, chain, ret_error);
		if (r <= 0) {
			virtq_unpop(vq, n);
			return r == 0 ? PLACED_LATER : PLACED_FAULT;
		}
		part = MIN(chain->in_size - at, frame->size - done);
		if (part < frame->size && !net_negotiated(net, NET_BIT(MRG_RXBUF))) {
			virtq_unpop(vq, 1);
			net_drop_frame(net, "larger than the driver's buffer");
			return PLACED;
		}
		(void)chain_write(chain, at, frame->bytes + done, part);
		net->filled[n].head = chain->head;
		net->filled[n++].written = at + part;
		done += part;
		at = 0;
	}
	push_buffers(pair, frame, n);
	return PLACED;
}

static enum placed receive_frame(struct net_pair *pair, struct net_frame *frame,
				 struct error **ret_error)
{
	struct net *net = pair->net;
	const char *problem =
	    net_header_clean(net->device.driver_features, true, &frame->header, frame->size);
	enum placed placed;

	/* The tap may have it from before the last driver's reset. */
	if (problem) {
		net_drop_frame(net, problem);
		placed = PLACED;
	} else {
		placed = place_frame(pair, frame, ret_error);
	}
	if (placed == PLACED)
		net_link_consume(&pair->link, frame);
	return placed;
}

/* As many as there are, have room, and are due at a time. */
int net_receive(struct net_pair *pair, struct error **ret_error)
{
	struct virtio_device *device = &pair->net->device;
	struct virtq *vq = receive_queue(pair);
	_cleanup_error_ struct error *lost = NULL;
	enum net_result result = NET_DONE;
	enum placed placed = PLACED;
	struct net_frame frame;
	unsigned n = 0;

	virtq_disable_kicks(vq);
	while (n < RECEIVE_MAX && placed == PLACED && result == NET_DONE) {
		result = net_link_peek(&pair->link, &frame, &lost);
		if (result == NET_DONE)
			placed = receive_frame(pair, &frame, ret_error);
		n++;
	}
	if (result == NET_LOST)
		net_lose_link(pair->net, lost);
	if (placed == PLACED && result == NET_DONE)
		virtio_device_kick_again(device, net_receive_queue(pair));
	pair->wants_input = placed == PLACED;
	net_watch_link(pair);
	if (virtq_should_notify(vq))
		device->interrupt(device, net_receive_queue(pair));
	return placed == PLACED_FAULT ? -1 : 0;
}
