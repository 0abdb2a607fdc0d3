/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of virtio, for tests: guest memory, rings in it, and a
 * device behind a transport.  Well-behaved unless the test writes into the rings
 * itself.
 *
 * Which transport, a test is told by what it is linked with: libmmio-driver.a, or
 * libvhost-driver.a, where the driver's registers are those of a vhost-user
 * front-end (vhost-frontend.h).  A test of devices runs with both.
 */
#pragma once

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "virtio/device.h"
#include "virtio/memory.h"
#include "virtio/mmio.h"

#define DRIVER_RAM_BASE 0x100000ULL

/* A ring in guest memory, as its driver sees it. */
struct driver_ring {
	uint16_t size;
	gpa_t desc_gpa, avail_gpa, used_gpa;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t avail_idx; /* published */
	uint16_t used_idx;  /* taken */
	uint16_t free_head, n_free;
	uint16_t chain_length[256]; /* by head */
	bool event_idx;
	uint16_t kicked; /* avail_idx when a kick was last considered */
};

struct frontend;

struct driver {
	struct guest_memory memory;
	int ram_fd;
	uint8_t *ram;
	size_t ram_size, ram_used;
	struct loop *loop;
	struct virtio_device *device;
	struct virtio_mmio *mmio;
	struct frontend *frontend;
	struct source *irq_source;
	struct driver_ring rings[VIRTIO_QUEUES_MAX];
	unsigned interrupts;
};

struct driver_buffer {
	gpa_t gpa;
	uint32_t length;
};

/* Memory only. */
void driver_init_memory(struct driver *d, size_t ram_size);
void driver_done_memory(struct driver *d);
gpa_t driver_alloc(struct driver *d, size_t size, size_t alignment);
void *driver_at(const struct driver *d, gpa_t gpa);
void driver_init_ring(struct driver *d, struct driver_ring *ring, uint16_t size);

/* With a device, which becomes the driver's; then through reset and feature
 * negotiation (all offered and wanted bits) to DRIVER_OK, every queue at its
 * largest size. */
void driver_init(struct driver *d, struct virtio_device *device, size_t ram_size);
void driver_start(struct driver *d, uint64_t wanted_features);
void driver_done(struct driver *d);

/* Takes the device, or one of its queues, back. */
void driver_reset(struct driver *d);
void driver_stop_queue(struct driver *d, unsigned queue);
void driver_config_read(struct driver *d, uint32_t offset, void *ret_bytes, uint32_t size);
/* A kick, whether the device wants it or not. */
void driver_notify(struct driver *d, unsigned queue);
/* Readable when the device has interrupted. */
int driver_irq_fd(const struct driver *d);
/* With the mmio transport only. */
uint32_t driver_read(struct driver *d, uint32_t reg);
void driver_write(struct driver *d, uint32_t reg, uint32_t value);
/* Its device's state, and that device is freed; another one, which becomes the driver's, takes it
 * (or -1: what does not fit). */
struct driver_state {
	struct virtio_mmio_state transport;
	struct buffer own;
};
void driver_save(struct driver *d, struct driver_state *ret_state);
int driver_load(struct driver *d, struct virtio_device *device, const struct driver_state *state,
		struct error **ret_error);
bool driver_needs_reset(struct driver *d);
/* Runs the loop until NEEDS_RESET shows, at most some seconds. */
void driver_expect_needs_reset(struct driver *d);

/* Adds a chain and publishes it; the head, or -1 when the ring is full. */
int ring_add(struct driver_ring *ring, const struct driver_buffer *buffers, unsigned n_out,
	     unsigned n_in);
/* As ring_add() through an indirect table at table (gpa, mapped at entries). */
int ring_add_indirect(struct driver_ring *ring, gpa_t table, struct vring_desc *entries,
		      const struct driver_buffer *buffers, unsigned n_out, unsigned n_in);
/* Publishes one raw head. */
void ring_publish(struct driver_ring *ring, uint16_t head);
/* Takes a used chain, if there is one, and frees its descriptors. */
bool ring_take(struct driver_ring *ring, uint16_t *ret_head, uint32_t *ret_written);
/* Kicks if the device wants it. */
void driver_kick(struct driver *d, unsigned queue);
/* Kick, and run the loop until a chain is used; returns bytes written. */
uint32_t driver_complete(struct driver *d, unsigned queue, uint16_t head);
