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

#include "base/error.h"
#include "base/loop.h"
#include "virtio/device.h"
#include "virtio/memory.h"

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

/* A register access at offset (< VIRTIO_MMIO_SIZE) of size 1, 2, 4 or 8; any
 * vCPU thread.  A bad one reads as 0 and writes nothing. */
void virtio_mmio_read(struct virtio_mmio *mmio, uint32_t offset, void *ret_bytes, uint32_t size);
void virtio_mmio_write(struct virtio_mmio *mmio, uint32_t offset, const void *bytes, uint32_t size);
