/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames to be sent.  They are not copied; their header is, and only what was checked goes on to
 * the tap.  A frame that cannot be is dropped, as on a cable, and does not break the device.
 * Where the link takes no more, the frames wait in their queue for EPOLLOUT.
 */
#include <errno.h>
#include <limits.h>

#include "virtio/net-device.h"
#include "virtio/net-header.h"

static enum serve_result transmit(struct virtio_device *device, struct chain *chain,
				  uint32_t *ret_written, struct error **ret_error)
{
	struct net *net = (struct net *)device;
	struct net_pair *pair = net->transmitting;
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
		net_drop_frame(net, problem);
		return SERVE_DONE;
	}
	result = net_link_send(&pair->link, &header, net->iov, n, size, &lost);
	if (result == NET_LOST)
		net_lose_link(net, lost);
	pair->blocked = result == NET_LATER;
	/* What was begun has to be finished, too. */
	if (pair->link.out_start < pair->link.out_end)
		pair->blocked = true;
	net_watch_link(pair);
	return result == NET_LATER ? SERVE_LATER : SERVE_DONE;
}

int net_transmit(struct net_pair *pair, struct error **ret_error)
{
	struct net *net = pair->net;

	net->transmitting = pair;
	return virtio_device_serve(&net->device, net_transmit_queue(pair), &net->chain, transmit,
				   ret_error);
}

void net_resume_transmit(struct net_pair *pair)
{
	_cleanup_error_ struct error *lost = NULL;
	enum net_result result = net_link_flush(&pair->link, &lost);

	if (result == NET_LOST)
		net_lose_link(pair->net, lost);
	if (result == NET_LATER)
		return;
	pair->blocked = false;
	virtio_device_kick_again(&pair->net->device, net_transmit_queue(pair));
}
