/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames that come.  A tap's are read straight into as many of the driver's buffers as it takes
 * (MRG_RXBUF).  How many that is, only the frame says: as many as the last ones took are popped
 * before it is read, and the rest of a larger one goes to the link's buffer and is copied.  A
 * stream's are there already.  Where there are too few buffers, the frame stays with the link,
 * which is not watched then, until the driver kicks the queue.
 */
#include <endian.h>
#include <errno.h>
#include <limits.h>

#include "base/checked.h"
#include "virtio/net-device.h"
#include "virtio/net-header.h"

#define RECEIVE_MAX 64 /* frames at a time: other sources of the loop get their turn */

/* Buffers of a frame: what fewer take is copied faster than the kernel is told where they are. */
#define SCATTER_MIN 6

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
	pair->n_expected = MAX(n, pair->n_expected / 2U);
}

/* The frame but for its first `done` bytes, which are in n buffers already. */
static enum placed place_rest(struct net_pair *pair, const struct net_frame *frame, uint16_t n,
			      uint32_t done, struct error **ret_error)
{
	struct net *net = pair->net;
	struct virtq *vq = receive_queue(pair);
	uint32_t at = n == 0 ? NET_HEADER_SIZE : 0;

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

/* The tap may have it from before the last driver's reset. */
static bool is_lost(struct net *net, struct net_frame *frame)
{
	const char *problem =
	    net_header_clean(net->device.driver_features, true, &frame->header, frame->size);

	if (problem)
		net_drop_frame(net, problem);
	return problem;
}

/* ---- by the link's buffer ---- */

static enum placed copy_frame(struct net_pair *pair, enum net_result *ret_result,
			      struct error **ret_lost, struct error **ret_error)
{
	struct net_frame frame;
	enum placed placed = PLACED;

	*ret_result = net_link_peek(&pair->link, &frame, ret_lost);
	if (*ret_result != NET_DONE)
		return PLACED;
	if (!is_lost(pair->net, &frame))
		placed = place_rest(pair, &frame, 0, 0, ret_error);
	if (placed == PLACED)
		net_link_consume(&pair->link, &frame);
	return placed;
}

/* ---- straight into the driver's ---- */

/* Buffers that were popped for a frame that has not been read yet: net->filled[] says how much
 * each takes, and net->iov where, behind the first. */
struct room {
	uint16_t n;
	unsigned n_iov;
	uint32_t size;
};

/* false: it has too many parts. */
static bool add_room(struct net *net, struct room *room, const struct chain *chain, uint32_t at)
{
	const uint32_t size = MIN(chain->in_size - at, NET_FRAME_MAX + 1U);
	struct iovec *last = &net->iov[room->n_iov], *next = last + 1;
	unsigned n;

	if (room->n_iov + chain->n_in > IOV_MAX - 2)
		return false;
	n = chain_in_slice(chain, at, size, next);
	/* A driver takes buffers from pages that lie together. */
	for (; n > 0; n--, next++) {
		if (room->n_iov > 0 && (char *)last->iov_base + last->iov_len == next->iov_base) {
			last->iov_len += next->iov_len;
		} else {
			*++last = *next;
			room->n_iov++;
		}
	}
	net->filled[room->n].head = chain->head;
	net->filled[room->n++].written = at + size;
	room->size += size;
	return true;
}

/* As many as the last frames took, if there are so many: 1, or as pop_buffer(). */
static int pop_room(struct net_pair *pair, struct room *room, struct error **ret_error)
{
	struct net *net = pair->net;
	struct virtq *vq = receive_queue(pair);
	int r = pop_buffer(pair, &net->first, ret_error);

	*room = (struct room){ 0 };
	if (r <= 0)
		return r;
	if (!add_room(net, room, &net->first, NET_HEADER_SIZE)) {
		virtq_unpop(vq, 1);
		return 1;
	}
	while (room->n < pair->n_expected && room->size < NET_FRAME_MAX) {
		r = virtq_pop(vq, &net->chain, ret_error);
		if (r > 0 && net->chain.n_out > 0)
			return error_set(ret_error, EPROTO,
					 "receive buffer that is not write-only");
		if (r < 0)
			return -1;
		if (r > 0 && !add_room(net, room, &net->chain, 0)) {
			virtq_unpop(vq, 1);
			r = 0;
		}
		if (r == 0)
			break;
	}
	return 1;
}

/* Of the room, what a frame of that size takes: returns how many buffers. */
static uint16_t fill_room(struct net *net, const struct room *room, uint32_t size)
{
	uint32_t left = NET_HEADER_SIZE + size;
	uint16_t n = 0;

	while (n < room->n && (n == 0 || left > 0)) {
		net->filled[n].written = MIN(net->filled[n].written, left);
		left -= net->filled[n++].written;
	}
	return n;
}

static enum placed place_scattered(struct net_pair *pair, const struct room *room,
				   struct net_frame *frame, struct error **ret_error)
{
	struct virtq *vq = receive_queue(pair);
	enum placed placed;
	uint16_t n;

	if (is_lost(pair->net, frame)) {
		virtq_unpop(vq, room->n);
		return PLACED;
	}
	n = fill_room(pair->net, room, frame->size);
	virtq_unpop(vq, room->n - n);
	placed = place_rest(pair, frame, n, MIN(frame->size, room->size), ret_error);
	if (placed == PLACED_LATER)
		net_link_keep(&pair->link, pair->net->iov, room->n_iov, frame);
	return placed;
}

static enum placed scatter_frame(struct net_pair *pair, enum net_result *ret_result,
				 struct error **ret_lost, struct error **ret_error)
{
	struct net *net = pair->net;
	struct net_frame frame;
	struct room room;
	int r = pop_room(pair, &room, ret_error);

	*ret_result = NET_LATER;
	if (r <= 0)
		return r == 0 ? PLACED_LATER : PLACED_FAULT;
	if (room.n == 0)
		return copy_frame(pair, ret_result, ret_lost, ret_error);
	*ret_result =
	    net_link_scatter(&pair->link, net->iov, room.n_iov, room.size, &frame, ret_lost);
	if (*ret_result == NET_DONE)
		return place_scattered(pair, &room, &frame, ret_error);
	virtq_unpop(receive_queue(pair), room.n);
	return PLACED;
}

/* ---- all of them ---- */

static enum placed receive_frame(struct net_pair *pair, enum net_result *ret_result,
				 struct error **ret_lost, struct error **ret_error)
{
	if (pair->n_expected >= SCATTER_MIN && net_negotiated(pair->net, NET_BIT(MRG_RXBUF)) &&
	    net_link_may_scatter(&pair->link))
		return scatter_frame(pair, ret_result, ret_lost, ret_error);
	return copy_frame(pair, ret_result, ret_lost, ret_error);
}

/* As many as there are, have room, and are due at a time. */
int net_receive(struct net_pair *pair, struct error **ret_error)
{
	struct virtio_device *device = &pair->net->device;
	struct virtq *vq = receive_queue(pair);
	_cleanup_error_ struct error *lost = NULL;
	enum net_result result = NET_DONE;
	enum placed placed = PLACED;
	unsigned n = 0;

	virtq_disable_kicks(vq);
	while (n < RECEIVE_MAX && placed == PLACED && result == NET_DONE) {
		placed = receive_frame(pair, &result, &lost, ret_error);
		n++;
	}
	if (result == NET_LOST)
		net_lose_link(pair->net, lost);
	/* (Of what is left in a tap its descriptor tells.) */
	if (placed == PLACED && result == NET_DONE && net_link_has_more(&pair->link))
		virtio_device_kick_again(device, net_receive_queue(pair));
	pair->wants_input = placed == PLACED;
	net_watch_link(pair);
	if (virtq_should_notify(vq))
		device->interrupt(device, net_receive_queue(pair));
	return placed == PLACED_FAULT ? -1 : 0;
}
