/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The far end of a network device: frames from and to a tap, or a stream socket as passt
 * has one.  Nothing here waits, and nothing knows of queues; net.c is the device.
 *
 * Tap: one frame is one read(2) or write(2), behind a header (virtio 1.2 §5.1.6) that says
 * what is left to do to it.
 * Stream: each frame is preceded by its length, 4 bytes, big-endian (QEMU's "-netdev
 * stream"); there is no header.  A frame of which a part was written is kept, so that the
 * framing holds whatever becomes of the driver.  A frame to a loopback or unspecified
 * address goes nowhere: the peer speaks for the host.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "virtio/devices.h"

/* UDP segmentation (virtio 1.2 §5.1.3, §5.1.6; Linux 6.2), which older headers do not name. */
#ifndef VIRTIO_NET_F_HOST_USO
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO 56
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define NET_FRAME_MIN ETH_HLEN
#define NET_FRAME_MAX (UINT16_MAX + ETH_HLEN)
/* Room for a length or a header, and for a part of what follows the largest frame. */
#define NET_INPUT_SIZE (128U * 1024)

struct net_link {
	int fd; /* -1: there is no link, or none any more */
	enum net_backend backend;
	bool offloads;		   /* tap: it takes TUNSETOFFLOAD */
	bool udp_offloads;	   /* with TUN_F_USO4 and TUN_F_USO6, both or none */
	bool detached;		   /* a tap's queue that takes no part */
	size_t in_start, in_end;   /* in `in`: what was read and not yet consumed */
	size_t out_start, out_end; /* in `out`: what is left of a frame */
	uint8_t in[NET_INPUT_SIZE];
	uint8_t out[sizeof(uint32_t) + NET_FRAME_MAX];
};

/* A frame that came; bytes are the link's until it is consumed. */
struct net_frame {
	struct virtio_net_hdr_v1 header; /* num_buffers is 0 */
	const uint8_t *bytes;
	uint32_t size;
};

enum net_result {
	NET_LOST = -1, /* the link is of no use any more; error set */
	NET_LATER = 0, /* nothing is there, or there is no room, now */
	NET_DONE = 1,
};

/* Of link->fd, which is the link's (-1: there is no link), with all else 0. */
int net_link_open(struct net_link *link, enum net_backend backend, struct error **ret_error);
void net_link_close(struct net_link *link);
/* Whether a queue of a tap's takes part (IFF_ATTACH_QUEUE, IFF_DETACH_QUEUE; at least one has
 * to): what came and was not read is lost otherwise.  There is nothing to be done to a link that it
 * is already so with, or that is not there. */
int net_link_attach(struct net_link *link, bool attach, struct error **ret_error);
/* The tap was removed, by whatever may in its network namespace; of a queue that takes part.  It
 * takes no frames and brings none, and where the kernel moves them, nothing else tells. */
bool net_link_is_gone(const struct net_link *link);
/* What the driver takes and the tap may leave to it: TUN_F_….  Not an error: the tap is gone. */
int net_link_set_offloads(const struct net_link *link, unsigned offloads, struct error **ret_error);

/* The next frame, the same one until net_link_consume(). */
enum net_result net_link_peek(struct net_link *link, struct net_frame *ret_frame,
			      struct error **ret_error);
void net_link_consume(struct net_link *link, const struct net_frame *frame);
/* A tap's next frame, where none was peeked at: its bytes go to the n_iov buffers behind iov[0],
 * which take `room` bytes, and to *ret_frame, from bytes + room on, those for which there is no
 * room. iov[0] and the one behind the last are for the link's own use, and they count for IOV_MAX.
 * Then it is consumed, unless net_link_keep() with the same takes it back: it is the next
 * one again. */
bool net_link_may_scatter(const struct net_link *link);
enum net_result net_link_scatter(struct net_link *link, struct iovec *iov, unsigned n_iov,
				 uint32_t room, struct net_frame *ret_frame,
				 struct error **ret_error);
void net_link_keep(struct net_link *link, const struct iovec *iov, unsigned n_iov,
		   const struct net_frame *frame);
/* Has it frames, or parts, that its descriptor does not tell of? */
bool net_link_has_more(const struct net_link *link);
/* Consumes what is whole; of a tap, all that it has: the last driver agreed to get it so, but
 * the next one may not. */
void net_link_drop_frames(struct net_link *link);

/* Sends a frame of size bytes, which are behind iov[0]; that one is for the link's own use
 * (n_iov counts it, at most IOV_MAX).  NET_LATER: nothing of it was sent.  What a tap does
 * not take is lost, as on a cable. */
enum net_result net_link_send(struct net_link *link, const struct virtio_net_hdr_v1 *header,
			      struct iovec *iov, unsigned n_iov, uint32_t size,
			      struct error **ret_error);
/* Goes on with a frame that was begun; NET_DONE: there is none left. */
enum net_result net_link_flush(struct net_link *link, struct error **ret_error);
