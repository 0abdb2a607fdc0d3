/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-mmio transport, version 2 ("modern") only: virtio 1.2 §4.2.
 *
 * Owns the device, its queues, its status and its two kinds of eventfd: one
 * per queue that a kick signals (register it as an ioeventfd at
 * VIRTIO_MMIO_QUEUE_NOTIFY, 4 bytes, with the queue's index as datamatch; a
 * notification that comes as a register write works too), and one that raises
 * the interrupt (register it as an irqfd; edge).
 */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/loop.h"
#include "virtio/device.h"
#include "virtio/memory.h"
#include "virtio/queue.h"

#define VIRTIO_MMIO_SIZE 0x1000

struct virtio_mmio;

/* Takes the device over, on failure too.  Kicks are handled on loop's thread. */
int virtio_mmio_new(struct virtio_device *device, struct guest_memory *memory, struct loop *loop,
		    struct virtio_mmio **ret_mmio, struct error **ret_error);
/* The loop must not be running any more, or this must be its thread. */
void virtio_mmio_free(struct virtio_mmio *mmio);
DEFINE_CLEANUP(struct virtio_mmio, virtio_mmio_free)

unsigned virtio_mmio_n_queues(const struct virtio_mmio *mmio);
int virtio_mmio_kick_fd(const struct virtio_mmio *mmio, unsigned queue); /* stays the transport's */
int virtio_mmio_irq_fd(const struct virtio_mmio *mmio);			 /* stays the transport's */
/* From now on, raises the interrupt through other's fd: for two devices on one
 * interrupt line.  (An irqfd of its own each could merge the second's edge into
 * the first's, after the guest's handler has looked at the second already.) */
int virtio_mmio_share_irq(struct virtio_mmio *mmio, const struct virtio_mmio *other,
			  struct error **ret_error);

/* No vCPU runs between the two: virtio_device_pause(). */
void virtio_mmio_pause(struct virtio_mmio *mmio);
void virtio_mmio_resume(struct virtio_mmio *mmio);

/*
 * State: the registers and the queues, and what the device keeps beside them, as bytes
 * (virtio_device_save()).  Nothing touches the device meanwhile: no vCPU runs, this is the loop's
 * thread, and it is paused.
 */
struct virtio_mmio_state {
	uint32_t type; /* VIRTIO_ID_… */
	uint32_t status, interrupt_status, config_generation;
	uint32_t device_features_sel, driver_features_sel, queue_sel;
	uint32_t unknown_features, n_queues, reserved;
	uint64_t driver_features;
	struct virtio_mmio_queue {
		struct virtq_layout layout;
		uint32_t ready, next_avail;
	} queues[VIRTIO_QUEUES_MAX];
};
/* Paused.  own: the device's bytes are appended.  -1: the device cannot be saved, and why. */
int virtio_mmio_save(const struct virtio_mmio *mmio, struct virtio_mmio_state *ret_state,
		     struct buffer *own, struct error **ret_error);
/* Into a new transport; own: size bytes.  The state is hostile: errors say what does not fit, and
 * the device has not been active then. */
int virtio_mmio_load(struct virtio_mmio *mmio, const struct virtio_mmio_state *state,
		     const void *own, size_t size, struct error **ret_error);

/* A register access at offset (< VIRTIO_MMIO_SIZE) of size 1, 2, 4 or 8; any
 * vCPU thread.  A bad one reads as 0 and writes nothing. */
void virtio_mmio_read(struct virtio_mmio *mmio, uint32_t offset, void *ret_bytes, uint32_t size);
void virtio_mmio_write(struct virtio_mmio *mmio, uint32_t offset, const void *bytes, uint32_t size);
/* The same of a place without a device: device ID 0 (§4.2.2). */
void virtio_mmio_read_empty(uint32_t offset, void *ret_bytes, uint32_t size);
