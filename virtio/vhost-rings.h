/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rings of a device whose front-end speaks vhost-user: what the front-end
 * has said about each, and when which of them run.
 *
 * A ring runs (its virtq is ready) while it has a kick descriptor, is enabled and
 * the device is not broken.  The device becomes active when the first one does
 * and stays so when all of them are stopped: that may be a pause.  Whether it was
 * one shows when they start again, see vhost-rings.c.
 *
 * Threads: the loop's, but for vhost_rings_interrupt() and vhost_rings_fault().
 * Each takes device->lock where it needs it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "virtio/device.h"
#include "virtio/transport.h"
#include "virtio/vhost-ram.h"

/* Where a ring is and how far it got. */
struct vhost_ring_place {
	uint32_t size;
	uint64_t desc, avail, used; /* in the front-end's memory */
	uint16_t next_avail;	    /* while it runs, the virtq's counts */
};

struct vhost_ring {
	struct vhost_ring_place place;
	bool has_kick; /* since the last GET_VRING_BASE */
	bool enabled;
	bool ran;			 /* since the device's last reset */
	struct vhost_ring_place stopped; /* if it ran: where it was stopped last */
	/* These numbers stay the same, so that any thread may write to them at any
	 * time; what they stand for is replaced. */
	int call_fd, err_fd;
};

struct vhost_rings {
	struct transport transport;
	struct virtio_device *device; /* transport.device */
	struct vhost_ram ram;
	struct vhost_ring rings[VIRTIO_QUEUES_MAX];
	uint64_t
	    features;	 /* what the driver and, with F_PROTOCOL_FEATURES, the front-end accepted */
	bool in_session; /* from the first ring that runs to the last that is stopped */
	int null_fd;	 /* an eventfd nobody watches */
};

/* The device becomes the rings', on failure too; vhost_rings_done() is due in any
 * case. */
int vhost_rings_init(struct vhost_rings *rings, struct virtio_device *device, struct loop *loop,
		     struct error **ret_error);
void vhost_rings_done(struct vhost_rings *rings);

/* Each answers the request of its name; queue is checked here.  -1: refused.
 * Descriptors are duplicated, not taken; fd -1: none. */
int vhost_rings_set_features(struct vhost_rings *rings, uint64_t features,
			     struct error **ret_error);
int vhost_rings_set_size(struct vhost_rings *rings, uint32_t queue, uint32_t size,
			 struct error **ret_error);
int vhost_rings_set_addresses(struct vhost_rings *rings, const struct vhost_vring_addr *addr,
			      struct error **ret_error);
int vhost_rings_set_base(struct vhost_rings *rings, uint32_t queue, uint32_t base,
			 struct error **ret_error);
/* When it returns, the ring is stopped, and what was popped from it is done. */
int vhost_rings_get_base(struct vhost_rings *rings, uint32_t queue, uint32_t *ret_base,
			 struct error **ret_error);
int vhost_rings_set_kick(struct vhost_rings *rings, uint32_t queue, int fd,
			 struct error **ret_error);
int vhost_rings_set_call(struct vhost_rings *rings, uint32_t queue, int fd,
			 struct error **ret_error);
int vhost_rings_set_err(struct vhost_rings *rings, uint32_t queue, int fd,
			struct error **ret_error);
int vhost_rings_enable(struct vhost_rings *rings, uint32_t queue, uint32_t enable,
		       struct error **ret_error);
/* Takes the new table over; the rings that run go on in it. */
void vhost_rings_set_ram(struct vhost_rings *rings, const struct vhost_ram *ram);
/* Stops and forgets every ring and resets the device. */
void vhost_rings_reset(struct vhost_rings *rings);

/* Any thread. */
void vhost_rings_interrupt(struct vhost_rings *rings, unsigned queue);
void vhost_rings_fault(struct vhost_rings *rings);
