/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's side of virtio, for tests: see virtio-driver.h. */
#include "tests/unit/virtio-driver.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/test.h"

#define PATIENCE_NS 20000000000ULL

void driver_init_memory(struct driver *d, size_t ram_size)
{
	struct error *error = NULL;
	struct mem_region region = { .base = DRIVER_RAM_BASE, .size = ram_size, .fd = -1 };

	memset(d, 0, sizeof(*d));
	d->ram_size = ram_size;
	d->ram_fd = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK(d->ram_fd >= 0 && ftruncate(d->ram_fd, (off_t)ram_size) == 0);
	d->ram = mmap(NULL, ram_size, PROT_READ | PROT_WRITE, MAP_SHARED, d->ram_fd, 0);
	CHECK(d->ram != MAP_FAILED);
	region.hva = d->ram;
	CHECK_OK(mem_add_region(&d->memory, &region, &error), &error);
}

void driver_done_memory(struct driver *d)
{
	(void)munmap(d->ram, d->ram_size);
	(void)close(d->ram_fd);
}

gpa_t driver_alloc(struct driver *d, size_t size, size_t alignment)
{
	size_t at = (d->ram_used + alignment - 1) / alignment * alignment;

	CHECK(at + size <= d->ram_size);
	d->ram_used = at + size;
	return DRIVER_RAM_BASE + at;
}

void *driver_at(const struct driver *d, gpa_t gpa)
{
	return d->ram + (gpa - DRIVER_RAM_BASE);
}

void driver_init_ring(struct driver *d, struct driver_ring *ring, uint16_t size)
{
	memset(ring, 0, sizeof(*ring));
	ring->size = ring->n_free = size;
	ring->desc_gpa = driver_alloc(d, sizeof(struct vring_desc) * size, 16);
	ring->avail_gpa = driver_alloc(d, 6 + 2 * (size_t)size, 2);
	ring->used_gpa = driver_alloc(d, 6 + 8 * (size_t)size, 4);
	ring->desc = driver_at(d, ring->desc_gpa);
	ring->avail = driver_at(d, ring->avail_gpa);
	ring->used = driver_at(d, ring->used_gpa);
	memset(ring->avail, 0, 6 + 2 * (size_t)size);
	memset(ring->used, 0, 6 + 8 * (size_t)size);
	for (uint16_t i = 0; i < size; i++)
		ring->desc[i].next = (uint16_t)(i + 1);
}

/* ---- rings ---- */

void ring_publish(struct driver_ring *ring, uint16_t head)
{
	__atomic_store_n(&ring->avail->ring[ring->avail_idx % ring->size], head, __ATOMIC_RELAXED);
	ring->avail_idx++;
	__atomic_store_n(&ring->avail->idx, ring->avail_idx, __ATOMIC_RELEASE);
}

static uint16_t flags_of(unsigned i, unsigned n_out, unsigned n)
{
	return (uint16_t)((i >= n_out ? VRING_DESC_F_WRITE : 0) |
			  (i + 1 < n ? VRING_DESC_F_NEXT : 0));
}

int ring_add(struct driver_ring *ring, const struct driver_buffer *buffers, unsigned n_out,
	     unsigned n_in)
{
	unsigned n = n_out + n_in;
	uint16_t head = ring->free_head;

	if (n > ring->n_free)
		return -1;
	for (unsigned i = 0; i < n; i++) {
		struct vring_desc *desc = &ring->desc[ring->free_head];

		desc->addr = buffers[i].gpa;
		desc->len = buffers[i].length;
		desc->flags = flags_of(i, n_out, n);
		ring->free_head = desc->next;
	}
	ring->n_free = (uint16_t)(ring->n_free - n);
	ring->chain_length[head] = (uint16_t)n;
	ring_publish(ring, head);
	return head;
}

int ring_add_indirect(struct driver_ring *ring, gpa_t table, struct vring_desc *entries,
		      const struct driver_buffer *buffers, unsigned n_out, unsigned n_in)
{
	unsigned n = n_out + n_in;
	uint16_t head = ring->free_head;
	struct vring_desc *desc = &ring->desc[head];

	if (ring->n_free == 0)
		return -1;
	for (unsigned i = 0; i < n; i++)
		entries[i] = (struct vring_desc){ .addr = buffers[i].gpa,
						  .len = buffers[i].length,
						  .flags = flags_of(i, n_out, n),
						  .next = (uint16_t)(i + 1) };
	desc->addr = table;
	desc->len = (uint32_t)(n * sizeof(*entries));
	desc->flags = VRING_DESC_F_INDIRECT;
	ring->free_head = desc->next;
	ring->n_free--;
	ring->chain_length[head] = 1;
	ring_publish(ring, head);
	return head;
}

bool ring_take(struct driver_ring *ring, uint16_t *ret_head, uint32_t *ret_written)
{
	const struct vring_used_elem *elem;
	uint16_t last;

	if (__atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE) == ring->used_idx)
		return false;
	elem = &ring->used->ring[ring->used_idx % ring->size];
	*ret_head = (uint16_t)__atomic_load_n(&elem->id, __ATOMIC_RELAXED);
	*ret_written = __atomic_load_n(&elem->len, __ATOMIC_RELAXED);
	ring->used_idx++;
	CHECK(*ret_head < ring->size && ring->chain_length[*ret_head] > 0);
	last = *ret_head;
	for (uint16_t i = 1; i < ring->chain_length[*ret_head]; i++)
		last = ring->desc[last].next;
	ring->desc[last].next = ring->free_head;
	ring->free_head = *ret_head;
	ring->n_free = (uint16_t)(ring->n_free + ring->chain_length[*ret_head]);
	ring->chain_length[*ret_head] = 0;
	/* Interrupt for the next one, then the caller looks again. */
	(void)__atomic_exchange_n(&ring->avail->ring[ring->size], ring->used_idx, __ATOMIC_SEQ_CST);
	return true;
}

/* ---- the device ---- */

void driver_expect_needs_reset(struct driver *d)
{
	uint64_t end = clock_monotonic_ns() + PATIENCE_NS;

	while (!driver_needs_reset(d)) {
		CHECK(clock_monotonic_ns() < end);
		loop_step(d->loop, 10);
	}
}

void driver_kick(struct driver *d, unsigned queue)
{
	struct driver_ring *ring = &d->rings[queue];
	uint16_t old = ring->kicked;
	bool wanted;

	/* Pairs with the device's virtq_enable_kicks(): see there. */
	(void)__atomic_exchange_n(&ring->avail->idx, ring->avail_idx, __ATOMIC_SEQ_CST);
	ring->kicked = ring->avail_idx;
	if (ring->event_idx)
		wanted = vring_need_event(
		    __atomic_load_n((uint16_t *)&ring->used->ring[ring->size], __ATOMIC_SEQ_CST),
		    ring->avail_idx, old);
	else
		wanted = !(__atomic_load_n(&ring->used->flags, __ATOMIC_SEQ_CST) &
			   VRING_USED_F_NO_NOTIFY);
	if (wanted)
		driver_notify(d, queue);
}

uint32_t driver_complete(struct driver *d, unsigned queue, uint16_t head)
{
	uint64_t end = clock_monotonic_ns() + PATIENCE_NS;
	uint16_t used;
	uint32_t written;

	driver_kick(d, queue);
	while (!ring_take(&d->rings[queue], &used, &written)) {
		CHECK(clock_monotonic_ns() < end);
		CHECK(!driver_needs_reset(d));
		loop_step(d->loop, 10);
	}
	CHECK_INT(used, head);
	return written;
}
