/*
 * A virtio device as its transport sees it (virtio 1.2 §2).
 *
 * The transport owns the queues and the status; the device declares its sizes
 * and handles kicks.  Which transport drives it, a device never knows.
 *
 * Threads: every function of the vtable is called with device->lock held.
 * Register accesses come on vCPU threads, kicks on the thread of the loop the
 * transport was given for this device; interrupts may be raised from either.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "virtio/memory.h"

#define VIRTIO_QUEUES_MAX 16

struct virtio_device;
struct virtq;

struct virtio_device_ops {
	/* Reads size bytes (already bounds-checked against config_size) at offset. */
	void (*config_read)(struct virtio_device *device, uint32_t offset, void *ret_bytes,
			    uint32_t size);
	/* As config_read; NULL: configuration space is read-only. */
	void (*config_write)(struct virtio_device *device, uint32_t offset, const void *bytes,
			     uint32_t size);
	/* DRIVER_OK: features are final and the queues are ready.  -1: the device
	 * needs a reset. */
	int (*activate)(struct virtio_device *device, struct error **ret_error);
	/* The driver kicked this queue.  -1: the driver broke the rules; the
	 * transport logs error and sets NEEDS_RESET. */
	int (*kick)(struct virtio_device *device, unsigned queue, struct error **ret_error);
	/* Back to the state before activate(): forget the queues, drop work in
	 * flight, wait for workers. */
	void (*reset)(struct virtio_device *device);
	void (*free)(struct virtio_device *device);
};

/* Embedded first in each device's own struct. */
struct virtio_device {
	const struct virtio_device_ops *ops;
	const char *name;  /* for logs and traces, e.g. "blk" */
	uint32_t type;	   /* VIRTIO_ID_… */
	uint64_t features; /* offered by the device itself; the transport adds
			      VERSION_1, EVENT_IDX, INDIRECT_DESC */
	unsigned n_queues;
	uint16_t queue_size_max; /* power of two */
	uint32_t config_size;

	pthread_mutex_t lock;

	/* The transport's: set before activate(). */
	uint64_t driver_features;
	struct virtq *queues; /* n_queues of them */
	struct guest_memory *memory;
	struct loop *loop; /* where kick() runs */
	struct ratelimit faults;
	/* Raise the used-buffer interrupt of a queue (unconditionally; devices call
	 * virtq_should_notify() first), or the configuration-change interrupt. */
	void (*interrupt)(struct virtio_device *device, unsigned queue);
	void (*config_interrupt)(struct virtio_device *device);
	/* The driver broke the rules outside of kick(), e.g. on a worker. Any
	 * thread, lock held. */
	void (*fault)(struct virtio_device *device, const struct error *error);
	void *transport;
};
