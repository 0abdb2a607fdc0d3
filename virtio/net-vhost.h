/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's vhost-net (Linux, drivers/vhost/net.c), which moves frames between a tap and a
 * pair of queues: one /dev/vhost-net for each pair.  net.c decides when; see there.
 *
 * The kernel's thread waits on the queues' kick_fds and raises their interrupt itself.  It is
 * made at the first net_vhost_begin(): a device that no driver takes costs none.  Of the
 * kernel's own checks of rings and headers each one that fails is told on the error
 * descriptor.
 *
 * device->lock is held in all of these but the first and the last.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "virtio/device.h"

struct net_vhost {
	int fd;	      /* -1: there is none, and nothing below is done */
	int error_fd; /* an eventfd, readable when a driver broke the rules, or the tap is gone */
	bool has_owner;
	bool runs[2]; /* by the queue's place in its pair */
};

/* Checks fd, which is set; a caller that fails is to close it, too. */
int net_vhost_open(struct net_vhost *vhost, struct error **ret_error);
void net_vhost_close(struct net_vhost *vhost);

/* For this driver's features, all of guest memory, and nothing running yet. */
int net_vhost_begin(struct net_vhost *vhost, const struct virtio_device *device,
		    struct error **ret_error);
/* The queue (of the device; an odd one sends) is the kernel's, or ours again, where it was. */
int net_vhost_start(struct net_vhost *vhost, struct virtio_device *device, unsigned queue,
		    int tap_fd, struct error **ret_error);
void net_vhost_stop(struct net_vhost *vhost, struct virtio_device *device, unsigned queue);
