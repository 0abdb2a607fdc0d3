/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device's own parts, for its files alone: net.c is the device, net-pair.c turns pairs
 * of queues on and off, net-receive.c and net-transmit.c move frames, net-control.c
 * executes commands.
 *
 * A pair is a receive and a transmit queue, and a link of its own: one of the queues of a tap
 * that has several (IFF_MULTI_QUEUE), or the only link there is.  The kernel spreads what comes
 * over the queues that are attached: each flow to the one that its answers come from (virtio 1.2
 * §5.1.6.5.6).  The first pair is always on; the others are for the driver to turn on
 * (§5.1.6.5.5), or for the front-end of vhost-user, which has the control queue then.  Of one that
 * is off, the tap's queue is detached, and kicks are ignored.
 *
 * device->lock is held in all of it.  What adds or removes sources, with "watch" in its name or
 * said of it, is for the loop's thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "virtio/device.h"
#include "virtio/net-link.h"
#include "virtio/net-vhost.h"
#include "virtio/queue.h"

#define NET_BIT(feature) (1ULL << VIRTIO_NET_F_##feature)

struct net;

struct net_pair {
	struct net *net;
	unsigned index; /* of its queues: twice that to receive, and the next one to transmit */
	bool on;
	struct net_link link;
	struct net_vhost vhost;
	struct source *vhost_source;
	struct source *source; /* of the link */
	uint32_t events;       /* that it is watched for */
	bool wants_input;      /* there may be buffers for frames */
	bool blocked;	       /* frames to be sent wait for the link */
	unsigned n_expected;   /* buffers for the next frame that comes */
};

struct net {
	struct virtio_device device;
	struct virtio_net_config config;
	uint8_t mac[ETH_ALEN]; /* until the driver says another */
	unsigned n_pairs;      /* that there may be */
	unsigned n_on;	       /* that the driver, or a saved one, wants */
	loop_io_fn on_link, on_vhost_error;
	struct ratelimit drops;
	uint64_t dropped; /* since the last log line */
	/* Scratch, of one pair at a time. */
	struct net_pair *transmitting;
	struct chain first, chain;
	struct {
		uint16_t head;
		uint32_t written;
	} filled[VIRTQ_SIZE_MAX]; /* buffers with parts of one frame */
	struct iovec iov[1 + VIRTQ_SIZE_MAX];
	struct net_pair pairs[NET_PAIRS_MAX];
};

static inline bool net_negotiated(const struct net *net, uint64_t feature)
{
	return net->device.driver_features & feature;
}

/* Where it is depends on what the driver has agreed to: §5.1.2. */
static inline unsigned net_control_queue(const struct net *net)
{
	return net_negotiated(net, NET_BIT(MQ)) ? 2 * net->n_pairs : 2;
}

static inline unsigned net_receive_queue(const struct net_pair *pair)
{
	return 2 * pair->index;
}

static inline unsigned net_transmit_queue(const struct net_pair *pair)
{
	return 2 * pair->index + 1;
}

/* ---- net-pair.c ---- */

/* Counts, and logs now and then. */
void net_drop_frame(struct net *net, const char *reason);
/* All of it: a tap's queues go together.  The loop's thread. */
void net_lose_link(struct net *net, const struct error *error);
void net_watch_link(struct net_pair *pair);
/* What the kernel's vhost-net tells of the pair is heard while a driver is there. */
void net_watch_vhost(struct net_pair *pair);
/* The kernel lets go of the queues of every pair. */
void net_stop_vhost(struct net *net);
/* On: its link is attached and, where a driver is there, the kernel is ready for its queues. */
int net_pair_turn_on(struct net_pair *pair, struct error **ret_error);
void net_pair_turn_off(struct net_pair *pair);
/* It was turned on while the device is active: what its queues have is looked at, by us or by the
 * kernel.  A queue that is not ready waits until it is. */
void net_pair_start(struct net_pair *pair);
/* The first n are on, the others off; n: 1 to n_pairs.  -1: as before. */
int net_set_pairs(struct net *net, unsigned n, struct error **ret_error);

/* ---- net-receive.c, net-transmit.c, net-control.c ---- */

/* What has come, into the pair's receive queue; the loop's thread.  -1: the driver broke the
 * rules. */
int net_receive(struct net_pair *pair, struct error **ret_error);
/* The transmit queue was kicked; likewise. */
int net_transmit(struct net_pair *pair, struct error **ret_error);
/* The link has room again. */
void net_resume_transmit(struct net_pair *pair);
/* The control queue was kicked; likewise. */
int net_control(struct net *net, struct error **ret_error);
