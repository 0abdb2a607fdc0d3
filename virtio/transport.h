/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every transport needs, once: the queues and eventfds of its device, the
 * device's calls on the loop's thread (kicks and syncs), and the features that
 * the transport adds to the device's own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "virtio/device.h"
#include "virtio/memory.h"

struct kick_source {
	struct virtio_device *device;
	unsigned queue;
	struct source *source;
	bool apart; /* not watched, for it is served apart */
};

/* Embedded in each transport's own struct; device->transport is the whole. */
struct transport {
	struct virtio_device *device; /* owned */
	int sync_fd;		      /* wakes the loop for virtio_device_sync() */
	struct source *sync_source;
	struct kick_source kicks[VIRTIO_QUEUES_MAX];
};

/* Gives the device its queues (none of them ready), memory, loop and kick_fds
 * (new eventfds, not watched yet).  The device is the transport's from now on,
 * on failure too: transport_done() is due in any case. */
int transport_init(struct transport *transport, struct virtio_device *device,
		   struct guest_memory *memory, struct loop *loop, struct error **ret_error);
/* Frees the device, which has been reset, and what transport_init() made.  The
 * loop's thread, or after the loop. */
void transport_done(struct transport *transport);

/* Loop's thread.  Calls virtio_device_kick() when kick_fds[queue] is signalled,
 * as it may be already; the fd is never read.  Of a queue that is served apart
 * there is nothing to watch. */
int transport_watch_kick(struct transport *transport, unsigned queue, struct error **ret_error);
void transport_unwatch_kick(struct transport *transport, unsigned queue);

/* Any thread: virtio_device_sync() soon, on the loop's thread. */
void transport_sync_soon(struct transport *transport);

/* Offered to the driver: the device's own and those of any ring. */
uint64_t transport_features(const struct virtio_device *device);
/* A driver may accept a part of them, but never without VERSION_1 (virtio 1.2
 * §6.1, §6.2). */
bool transport_accepts(const struct virtio_device *device, uint64_t driver_features);

/* Eventfds, non-blocking.  Signalling never fails but where the counter is about
 * to overflow, and then it is readable. */
int eventfd_new(int *ret_fd, struct error **ret_error);
void eventfd_signal(int fd);
