/* SPDX-License-Identifier: Apache-2.0 */
/* A virtio-mmio driver for guest halves: one queue, one chain at a time, polled
 * or by interrupt.  virtio 1.2 §2.7, §4.2. */
#pragma once

#include "tests/machine/guest.h"

#define VIRTIO_STATUS_NEEDS_RESET 0x40
#define GUEST_QUEUE_SIZE 8
#define CHAIN_MAX 4

struct guest_buffer {
	void *bytes;
	uint32_t size;
	bool in; /* written by the device */
};

struct guest_queue {
	struct {
		uint64_t address;
		uint32_t size;
		uint16_t flags;
		uint16_t next;
	} descriptors[GUEST_QUEUE_SIZE];
	struct {
		uint16_t flags;
		volatile uint16_t index;
		uint16_t ring[GUEST_QUEUE_SIZE];
	} avail;
	struct {
		uint16_t flags;
		volatile uint16_t index;
		struct {
			uint32_t head;
			uint32_t size;
		} ring[GUEST_QUEUE_SIZE];
	} used __attribute__((aligned(4)));
	uint64_t base; /* of the device's registers */
	uint32_t number;
} __attribute__((aligned(16)));

static inline uint32_t virtio_get(uint64_t base, uint32_t offset)
{
	return read32(base + offset);
}
static inline void virtio_set(uint64_t base, uint32_t offset, uint32_t value)
{
	write32(base + offset, value);
}

/* Reset up to FEATURES_OK, with VERSION_1 alone. */
static inline void virtio_begin(uint64_t base, uint32_t device_id)
{
	GUEST_CHECK_INT(virtio_get(base, 0x000), 0x74726976);
	GUEST_CHECK_INT(virtio_get(base, 0x004), 2);
	GUEST_CHECK_INT(virtio_get(base, 0x008), device_id);
	virtio_set(base, 0x070, 0);
	GUEST_CHECK_INT(virtio_get(base, 0x070), 0);
	virtio_set(base, 0x070, 1);
	virtio_set(base, 0x070, 3);
	virtio_set(base, 0x014, 1);
	GUEST_CHECK_INT(virtio_get(base, 0x010) & 1, 1); /* VERSION_1 */
	virtio_set(base, 0x024, 1);
	virtio_set(base, 0x020, 1);
	virtio_set(base, 0x024, 0);
	virtio_set(base, 0x020, 0);
	virtio_set(base, 0x070, 0xb);
	GUEST_CHECK_INT(virtio_get(base, 0x070), 0xb);
}

static inline void virtio_add_queue(uint64_t base, uint32_t number, struct guest_queue *queue)
{
	queue->base = base;
	queue->number = number;
	virtio_set(base, 0x030, number);
	GUEST_CHECK(virtio_get(base, 0x034) >= GUEST_QUEUE_SIZE);
	virtio_set(base, 0x038, GUEST_QUEUE_SIZE);
	virtio_set(base, 0x080, (uint32_t)(uintptr_t)queue->descriptors);
	virtio_set(base, 0x084, 0);
	virtio_set(base, 0x090, (uint32_t)(uintptr_t)&queue->avail);
	virtio_set(base, 0x094, 0);
	virtio_set(base, 0x0a0, (uint32_t)(uintptr_t)&queue->used);
	virtio_set(base, 0x0a4, 0);
	virtio_set(base, 0x044, 1);
	GUEST_CHECK_INT(virtio_get(base, 0x044), 1);
}

static inline void virtio_finish(uint64_t base)
{
	virtio_set(base, 0x070, 0xf);
	GUEST_CHECK_INT(virtio_get(base, 0x070), 0xf);
}

/* Makes the chain available and kicks. */
static inline void virtio_submit(struct guest_queue *queue, const struct guest_buffer *buffers,
				 uint16_t count)
{
	for (uint16_t i = 0; i < count; i++) {
		queue->descriptors[i].address = (uintptr_t)buffers[i].bytes;
		queue->descriptors[i].size = buffers[i].size;
		queue->descriptors[i].flags =
		    (uint16_t)((i + 1 < count ? 1 : 0) | (buffers[i].in ? 2 : 0));
		queue->descriptors[i].next = (uint16_t)(i + 1);
	}
	queue->avail.ring[queue->avail.index % GUEST_QUEUE_SIZE] = 0;
	__asm__ volatile("" ::: "memory");
	queue->avail.index++;
	__asm__ volatile("mfence" ::: "memory");
	virtio_set(queue->base, 0x050, queue->number);
}

/* Waits for the last chain; returns how many bytes the device wrote. */
static inline uint32_t virtio_wait(struct guest_queue *queue)
{
	while (queue->used.index != queue->avail.index)
		relax();
	__asm__ volatile("" ::: "memory");
	return queue->used.ring[(uint16_t)(queue->used.index - 1) % GUEST_QUEUE_SIZE].size;
}

/* Interrupt status: read, acknowledged and returned. */
static inline uint32_t virtio_acknowledge(uint64_t base)
{
	const uint32_t status = virtio_get(base, 0x060);

	virtio_set(base, 0x064, status);
	return status;
}
