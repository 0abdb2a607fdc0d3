/* SPDX-License-Identifier: Apache-2.0 */
/* virtio/queue: what a driver may do, and what a hostile one tries. */
#include <linux/virtio_config.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/unit/test.h"
#include "tests/unit/virtio-driver.h"
#include "virtio/queue.h"

#define SIZE 8
#define RAM (1 << 20)
#define INDIRECT (1ULL << VIRTIO_RING_F_INDIRECT_DESC)
#define EVENT_IDX (1ULL << VIRTIO_RING_F_EVENT_IDX)

struct fixture {
	struct driver d;
	struct driver_ring ring;
	struct virtq vq;
	struct chain chain;
	gpa_t data;  /* a page */
	gpa_t table; /* an indirect one, room for 2 * SIZE */
	struct vring_desc *entries;
};

static void fixture_init(struct fixture *f, uint64_t features)
{
	struct error *error = NULL;
	struct virtq_layout layout;

	driver_init_memory(&f->d, RAM);
	driver_init_ring(&f->d, &f->ring, SIZE);
	f->ring.event_idx = features & EVENT_IDX;
	f->data = driver_alloc(&f->d, 4096, 4096);
	f->table = driver_alloc(&f->d, 2 * SIZE * sizeof(struct vring_desc), 16);
	f->entries = driver_at(&f->d, f->table);
	layout =
	    (struct virtq_layout){ SIZE, f->ring.desc_gpa, f->ring.avail_gpa, f->ring.used_gpa };
	CHECK_OK(virtq_start(&f->vq, &f->d.memory, &layout, SIZE, features, &error), &error);
}

static void set(struct vring_desc *desc, gpa_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	*desc = (struct vring_desc){ .addr = addr, .len = len, .flags = flags, .next = next };
}

static void pop_fails(struct fixture *f, const char *part)
{
	struct error *error = NULL;

	CHECK_ERROR(virtq_pop(&f->vq, &f->chain, &error), &error, part);
}

static void pop_works(struct fixture *f, unsigned n_out, unsigned n_in)
{
	struct error *error = NULL;

	CHECK_INT(virtq_pop(&f->vq, &f->chain, &error), 1);
	CHECK_INT(f->chain.n_out, n_out);
	CHECK_INT(f->chain.n_in, n_in);
}

/* ---- layouts ---- */

static void layout_fails(struct fixture *f, struct virtq_layout layout, const char *part)
{
	struct virtq vq = { 0 };
	struct error *error = NULL;

	CHECK_ERROR(virtq_start(&vq, &f->d.memory, &layout, SIZE, 0, &error), &error, part);
	CHECK(!vq.ready);
}

static void test_layouts(void)
{
	struct fixture f;
	struct virtq_layout good, bad;
	const gpa_t end = DRIVER_RAM_BASE + RAM;

	fixture_init(&f, 0);
	good = (struct virtq_layout){ SIZE, f.ring.desc_gpa, f.ring.avail_gpa, f.ring.used_gpa };
	for (size_t i = 0; i < 5; i++) {
		bad = good;
		bad.size = (const uint32_t[]){ 0, 3, 2 * SIZE, 0x10000, 0x80000000 }[i];
		layout_fails(&f, bad, "power of two");
	}
	bad = good, bad.desc += 8;
	layout_fails(&f, bad, "misaligned");
	bad = good, bad.avail += 1;
	layout_fails(&f, bad, "misaligned");
	bad = good, bad.used += 2;
	layout_fails(&f, bad, "misaligned");
	bad = good, bad.desc = end - 16 * SIZE + 16;
	layout_fails(&f, bad, "outside");
	/* The event fields count: two bytes less than they need. */
	bad = good, bad.avail = end - (6 + 2 * SIZE) + 2;
	layout_fails(&f, bad, "outside");
	bad = good, bad.used = end - (6 + 8 * SIZE) + 2;
	layout_fails(&f, bad, "outside");
	bad = good, bad.used = 0;
	layout_fails(&f, bad, "outside");
	bad = good, bad.avail = UINT64_MAX - 7;
	layout_fails(&f, bad, "outside");
}

/* ---- good chains ---- */

static void test_round_trip(void)
{
	struct fixture f;
	struct error *error = NULL;
	struct driver_buffer buffers[] = { { 0, 10 }, { 0, 20 }, { 0, 30 }, { 0, 5 } };
	char bytes[64] = "";
	uint16_t head;
	uint32_t written;

	fixture_init(&f, INDIRECT);
	for (int i = 0; i < 4; i++)
		buffers[i].gpa = f.data + 100 * (gpa_t)i;
	memcpy(driver_at(&f.d, f.data), "0123456789", 10);
	memcpy(driver_at(&f.d, f.data + 100), "abcdefghijklmnopqrst", 20);
	CHECK_INT(virtq_pop(&f.vq, &f.chain, &error), 0);
	/* Often enough for the indices to wrap. */
	for (int i = 0; i < 70000; i++) {
		int h = i % 2 ? ring_add(&f.ring, buffers, 2, 2)
			      : ring_add_indirect(&f.ring, f.table, f.entries, buffers, 2, 2);

		pop_works(&f, 2, 2);
		CHECK_INT(f.chain.head, h);
		CHECK_INT(f.chain.out_size, 30);
		CHECK_INT(f.chain.in_size, 35);
		virtq_push(&f.vq, f.chain.head, (uint32_t)i);
		CHECK(ring_take(&f.ring, &head, &written));
		CHECK_INT(head, h);
		CHECK_INT(written, i);
	}
	CHECK(chain_read(&f.chain, 8, bytes, 5) && memcmp(bytes, "89abc", 5) == 0);
	CHECK(chain_read(&f.chain, 30, bytes, 0));
	CHECK(!chain_read(&f.chain, 29, bytes, 2));
	CHECK(!chain_read(&f.chain, UINT32_MAX, bytes, 2));
	CHECK(chain_write(&f.chain, 28, "vwxyz", 5));
	CHECK(memcmp(driver_at(&f.d, f.data + 228), "vw", 2) == 0);
	CHECK(memcmp(driver_at(&f.d, f.data + 300), "xyz", 3) == 0);
	CHECK(!chain_write(&f.chain, 31, "vwxyz", 5));
}

/* Direct descriptors, then an indirect table: §2.7.5.3.2. */
static void test_mixed(void)
{
	struct fixture f;

	fixture_init(&f, INDIRECT);
	set(&f.ring.desc[0], f.data, 1, VRING_DESC_F_NEXT, 5);
	set(&f.ring.desc[5], f.table, 32, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 0);
	set(&f.entries[0], f.data, 2, VRING_DESC_F_NEXT, 1);
	set(&f.entries[1], f.data, 3, VRING_DESC_F_WRITE, 0);
	ring_publish(&f.ring, 0);
	pop_works(&f, 2, 1);
	CHECK_INT(f.chain.out_size, 3);
	CHECK_INT(f.chain.in_size, 3);
	/* The same from a table that is not aligned. */
	memmove((char *)f.entries + 3, f.entries, 32);
	f.ring.desc[5].addr += 3;
	ring_publish(&f.ring, 0);
	pop_works(&f, 2, 1);
}

static void test_slices(void)
{
	struct fixture f;
	struct iovec iov[VIRTQ_SIZE_MAX], *at = iov;
	struct driver_buffer buffers[3];
	char *base;
	unsigned n;

	fixture_init(&f, 0);
	for (unsigned i = 0; i < 3; i++)
		buffers[i] = (struct driver_buffer){ f.data + 100 * i, 10 };
	base = driver_at(&f.d, f.data);
	(void)ring_add(&f.ring, buffers, 3, 0);
	pop_works(&f, 3, 0);
	CHECK_INT(chain_out_slice(&f.chain, 0, 30, iov), 3);
	CHECK_INT(chain_out_slice(&f.chain, 10, 10, iov), 1);
	CHECK(iov[0].iov_base == base + 100 && iov[0].iov_len == 10);
	n = chain_out_slice(&f.chain, 5, 16, iov);
	CHECK_INT(n, 3);
	CHECK(iov[0].iov_base == base + 5 && iov[0].iov_len == 5);
	CHECK(iov[2].iov_base == base + 200 && iov[2].iov_len == 1);
	CHECK_INT(chain_out_slice(&f.chain, 25, 100, iov + 3), 1);
	CHECK_INT(iov[3].iov_len, 5);
	CHECK_INT(chain_out_slice(&f.chain, 30, 1, iov + 3), 0);
	CHECK_INT(chain_in_slice(&f.chain, 0, 1, iov + 3), 0);
	iov_advance(&at, &n, 7);
	CHECK_INT(n, 2);
	CHECK(at->iov_base == base + 102 && at->iov_len == 8);
	iov_advance(&at, &n, 9);
	CHECK_INT(n, 0);
}

/* ---- hostile chains ---- */

static void test_head_and_index(void)
{
	struct fixture f;

	fixture_init(&f, INDIRECT);
	ring_publish(&f.ring, SIZE);
	pop_fails(&f, "descriptor index 8 of 8");
	/* It does not move on by itself. */
	pop_fails(&f, "descriptor index 8 of 8");
	fixture_init(&f, INDIRECT);
	ring_publish(&f.ring, 0xffff);
	pop_fails(&f, "descriptor index 65535");
	fixture_init(&f, INDIRECT);
	set(&f.ring.desc[0], f.data, 1, VRING_DESC_F_NEXT, SIZE);
	ring_publish(&f.ring, 0);
	pop_fails(&f, "descriptor index 8 of 8");
	fixture_init(&f, INDIRECT);
	f.ring.avail->idx = SIZE + 1;
	pop_fails(&f, "9 ahead");
	f.ring.avail->idx = 0xffff;
	pop_fails(&f, "ahead");
}

static void test_loops(void)
{
	struct fixture f;

	fixture_init(&f, INDIRECT);
	set(&f.ring.desc[3], f.data, 1, VRING_DESC_F_NEXT, 3);
	ring_publish(&f.ring, 3);
	pop_fails(&f, "longer than the queue");
	fixture_init(&f, INDIRECT);
	for (uint16_t i = 0; i < SIZE; i++)
		set(&f.ring.desc[i], f.data, 1, VRING_DESC_F_NEXT, (i + 1) % SIZE);
	ring_publish(&f.ring, 3);
	pop_fails(&f, "longer than the queue");
	/* All of them without the loop is the longest chain there is. */
	f.ring.desc[2].flags = 0;
	pop_works(&f, SIZE, 0);
	fixture_init(&f, INDIRECT);
	set(&f.ring.desc[0], f.table, 2 * 16, VRING_DESC_F_INDIRECT, 0);
	set(&f.entries[0], f.data, 1, VRING_DESC_F_NEXT, 1);
	set(&f.entries[1], f.data, 1, VRING_DESC_F_NEXT, 0);
	ring_publish(&f.ring, 0);
	pop_fails(&f, "longer than the queue");
}

static void test_buffers(void)
{
	const struct {
		gpa_t addr;
		uint32_t len;
		const char *part;
	} table[] = {
		{ DRIVER_RAM_BASE, 0, "empty" },
		{ 0, 1, "outside" },
		{ DRIVER_RAM_BASE - 1, 2, "outside" },
		{ DRIVER_RAM_BASE + RAM, 1, "outside" },
		{ DRIVER_RAM_BASE + RAM - 1, 2, "outside" },
		{ DRIVER_RAM_BASE, UINT32_MAX, "outside" },
		{ UINT64_MAX, 1, "outside" },
		{ UINT64_MAX - 1, 2, "outside" },
		{ UINT64_MAX - 0xfff, 0x101000, "outside" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct fixture f;

		fixture_init(&f, INDIRECT);
		set(&f.ring.desc[0], f.data, 1, VRING_DESC_F_NEXT, 1);
		set(&f.ring.desc[1], table[i].addr, table[i].len, VRING_DESC_F_WRITE, 0);
		ring_publish(&f.ring, 0);
		pop_fails(&f, table[i].part);
		set(&f.ring.desc[0], f.table, 16, VRING_DESC_F_INDIRECT, 0);
		set(&f.entries[0], table[i].addr, table[i].len, 0, 0);
		pop_fails(&f, table[i].part);
	}
}

static void test_order(void)
{
	struct fixture f;

	fixture_init(&f, 0);
	set(&f.ring.desc[0], f.data, 1, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	set(&f.ring.desc[1], f.data, 1, 0, 0);
	ring_publish(&f.ring, 0);
	pop_fails(&f, "readable descriptor behind a writable one");
}

static void test_indirect(void)
{
	const struct {
		gpa_t addr;
		uint32_t len;
		uint16_t flags;
		const char *part;
	} table[] = {
		{ 0, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, "with a next one" },
		{ 0, 0, VRING_DESC_F_INDIRECT, "indirect table of 0 bytes" },
		{ 0, 15, VRING_DESC_F_INDIRECT, "indirect table of 15 bytes" },
		{ 0, 17, VRING_DESC_F_INDIRECT, "indirect table of 17 bytes" },
		{ 0, 16 * (SIZE + 1), VRING_DESC_F_INDIRECT, "for a queue of 8" },
		{ 0, 0xfffffff0, VRING_DESC_F_INDIRECT, "for a queue of 8" },
		{ 1, 16, VRING_DESC_F_INDIRECT, "outside" },
		{ UINT64_MAX - 7, 16, VRING_DESC_F_INDIRECT, "outside" },
		{ DRIVER_RAM_BASE + RAM - 16, 32, VRING_DESC_F_INDIRECT, "outside" },
	};
	struct fixture f;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		fixture_init(&f, INDIRECT);
		set(&f.ring.desc[0], table[i].addr ? table[i].addr : f.table, table[i].len,
		    table[i].flags, 1);
		set(&f.entries[0], f.data, 1, 0, 0);
		ring_publish(&f.ring, 0);
		pop_fails(&f, table[i].part);
	}
	fixture_init(&f, INDIRECT);
	set(&f.ring.desc[0], f.table, 32, VRING_DESC_F_INDIRECT, 0);
	set(&f.entries[0], f.data, 1, VRING_DESC_F_NEXT, 1);
	set(&f.entries[1], f.table, 16, VRING_DESC_F_INDIRECT, 0);
	ring_publish(&f.ring, 0);
	pop_fails(&f, "indirect descriptor in an indirect table");
	set(&f.entries[1], f.data, 1, VRING_DESC_F_NEXT, 2);
	pop_fails(&f, "descriptor index 2 of 2");
	fixture_init(&f, 0);
	set(&f.ring.desc[0], f.table, 16, VRING_DESC_F_INDIRECT, 0);
	ring_publish(&f.ring, 0);
	pop_fails(&f, "not negotiated");
}

static void test_four_gib(void)
{
	static char page[1];
	struct fixture f;
	struct error *error = NULL;
	/* Never touched: only its size matters. */
	struct mem_region region = { 1ULL << 40, 1ULL << 33, page, -1, NULL };

	fixture_init(&f, 0);
	CHECK_OK(mem_add_region(&f.d.memory, &region, &error), &error);
	set(&f.ring.desc[0], 1ULL << 40, 0x80000000, VRING_DESC_F_NEXT, 1);
	set(&f.ring.desc[1], 1ULL << 40, 0x80000000, VRING_DESC_F_WRITE, 0);
	ring_publish(&f.ring, 0);
	pop_fails(&f, "4 GiB");
	f.ring.desc[1].len--;
	pop_works(&f, 1, 1);
}

/* ---- a table that changes under us ---- */

struct race {
	struct fixture *f;
	_Atomic bool stop;
	_Atomic unsigned changes;
};

static void store_desc(struct vring_desc *desc, gpa_t addr, uint32_t len, uint16_t flags,
		       uint16_t next)
{
	uint64_t *words = (void *)desc;

	__atomic_store_n(&words[0], addr, __ATOMIC_RELAXED);
	__atomic_store_n(&words[1], len | (uint64_t)flags << 32 | (uint64_t)next << 48,
			 __ATOMIC_RELAXED);
}

/* Flips descriptors between good and every kind of bad while they are read. */
static void *change_table(void *data)
{
	struct race *race = data;
	struct fixture *f = race->f;
	unsigned seed = 1;

	while (!atomic_load(&race->stop)) {
		unsigned r = (unsigned)rand_r(&seed);
		struct vring_desc *desc =
		    r & 1 ? &f->ring.desc[r / 2 % SIZE] : &f->entries[r / 2 % SIZE];
		static const uint16_t flags[] = { VRING_DESC_F_NEXT,
						  VRING_DESC_F_NEXT,
						  VRING_DESC_F_WRITE,
						  VRING_DESC_F_INDIRECT,
						  VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
						  0 };
		static const uint32_t lengths[] = { 16, 64, 128, 4096, 0xffffffff, 0 };
		const gpa_t addrs[] = { f->data, f->table,	  f->data,
					f->data, UINT64_MAX - 15, DRIVER_RAM_BASE + RAM - 15 };

		store_desc(desc, addrs[r / 16 % 6], lengths[r / 128 % 6], flags[r / 1024 % 6],
			   (uint16_t)(r / 8192 % (SIZE + 1)));
		atomic_fetch_add(&race->changes, 1);
	}
	return NULL;
}

/* Whatever is read, what comes out lies in guest memory and keeps the bounds. */
static void check_chain(const struct fixture *f)
{
	const struct chain *chain = &f->chain;
	uint64_t out = 0, in = 0;

	CHECK(chain->n_out + chain->n_in >= 1 && chain->n_out + chain->n_in <= SIZE);
	for (unsigned i = 0; i < chain->n_out + chain->n_in; i++) {
		const char *base = chain->iov[i].iov_base;

		CHECK(chain->iov[i].iov_len > 0);
		CHECK(base >= (char *)f->d.ram &&
		      base + chain->iov[i].iov_len <= (char *)f->d.ram + RAM);
		*(i < chain->n_out ? &out : &in) += chain->iov[i].iov_len;
	}
	CHECK_INT(out, chain->out_size);
	CHECK_INT(in, chain->in_size);
}

static void test_changing(void)
{
	struct fixture f;
	struct race race = { .f = &f };
	pthread_t thread;
	unsigned good = 0, bad = 0;
	uint64_t end = clock_monotonic_ns() + 60000000000ULL;

	fixture_init(&f, INDIRECT);
	for (uint16_t i = 0; i < SIZE; i++)
		ring_publish(&f.ring, i);
	CHECK(pthread_create(&thread, NULL, change_table, &race) == 0);
	/* Until both have met often: on one busy CPU they take turns. */
	while (good < 10000 || bad < 10000 || atomic_load(&race.changes) < 100000) {
		struct error *error = NULL;
		int r = virtq_pop(&f.vq, &f.chain, &error);

		good += r > 0;
		bad += r < 0;
		if (r > 0)
			check_chain(&f);
		error_free(error);
		f.vq.next_avail = (uint16_t)((good + bad) % SIZE);
		CHECK(clock_monotonic_ns() < end);
	}
	atomic_store(&race.stop, true);
	CHECK(pthread_join(thread, NULL) == 0);
}

/* ---- notifications ---- */

static void push_one(struct fixture *f)
{
	struct driver_buffer buffer = { f->data, 1 };

	(void)ring_add(&f->ring, &buffer, 0, 1);
	pop_works(f, 0, 1);
	virtq_push(&f->vq, f->chain.head, 0);
}

static void test_notify_flags(void)
{
	struct fixture f;

	fixture_init(&f, 0);
	CHECK(!virtq_should_notify(&f.vq));
	push_one(&f);
	CHECK(virtq_should_notify(&f.vq));
	CHECK(!virtq_should_notify(&f.vq));
	f.ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	push_one(&f);
	CHECK(!virtq_should_notify(&f.vq));
	virtq_disable_kicks(&f.vq);
	CHECK_INT(f.ring.used->flags, VRING_USED_F_NO_NOTIFY);
	CHECK(!virtq_enable_kicks(&f.vq));
	CHECK_INT(f.ring.used->flags, 0);
	ring_publish(&f.ring, 0);
	CHECK(virtq_enable_kicks(&f.vq));
}

static void test_notify_event_idx(void)
{
	struct fixture f;
	uint16_t *used_event, *avail_event;

	fixture_init(&f, EVENT_IDX);
	used_event = &f.ring.avail->ring[SIZE];
	avail_event = (uint16_t *)&f.ring.used->ring[SIZE];
	*used_event = 1; /* when the second one is used */
	push_one(&f);
	CHECK(!virtq_should_notify(&f.vq));
	push_one(&f);
	CHECK(virtq_should_notify(&f.vq));
	push_one(&f);
	CHECK(!virtq_should_notify(&f.vq));
	*used_event = 4; /* in the middle of a batch */
	push_one(&f);
	push_one(&f);
	push_one(&f);
	CHECK(virtq_should_notify(&f.vq));
	/* The flag is not for this mode: §2.7.7.2, §2.7.10.1. */
	f.ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	*used_event = 6;
	push_one(&f);
	CHECK(virtq_should_notify(&f.vq));
	virtq_disable_kicks(&f.vq);
	CHECK_INT(f.ring.used->flags, 0);
	CHECK(!virtq_enable_kicks(&f.vq));
	CHECK_INT(*avail_event, 7);
}

static void test_unpop_and_stop(void)
{
	struct fixture f;
	struct error *error = NULL;

	fixture_init(&f, 0);
	set(&f.ring.desc[2], f.data, 1, 0, 0);
	ring_publish(&f.ring, 2);
	pop_works(&f, 1, 0);
	virtq_unpop(&f.vq, 1);
	pop_works(&f, 1, 0);
	ring_publish(&f.ring, 2);
	virtq_stop(&f.vq);
	CHECK_INT(virtq_pop(&f.vq, &f.chain, &error), 0);
	virtq_push(&f.vq, 2, 1);
	CHECK(!virtq_should_notify(&f.vq));
	CHECK(!virtq_enable_kicks(&f.vq));
	virtq_disable_kicks(&f.vq);
	CHECK_INT(f.ring.used->idx, 0);
	CHECK_INT(f.ring.used->flags, 0);
}

/* Several chains go back, across the wrap too, or to the driver all at once. */
static void test_several(void)
{
	struct fixture f;

	fixture_init(&f, 0);
	for (uint16_t i = 0; i < 3; i++)
		set(&f.ring.desc[i], f.data + i, 1, 0, 0);
	virtq_continue(&f.vq, 65534);
	f.ring.avail_idx = 65534;
	for (uint16_t i = 0; i < 3; i++)
		ring_publish(&f.ring, i);
	for (int round = 0; round < 2; round++) {
		for (uint16_t i = 0; i < 3; i++) {
			pop_works(&f, 1, 0);
			CHECK_INT(f.chain.head, i);
		}
		if (round == 0)
			virtq_unpop(&f.vq, 3);
	}
	CHECK_INT(f.vq.next_avail, 1);
	virtq_fill(&f.vq, 0, 7);
	virtq_fill(&f.vq, 1, 8);
	CHECK_INT(f.ring.used->idx, 0);
	virtq_flush(&f.vq);
	CHECK_INT(f.ring.used->idx, 2);
	CHECK_INT(f.ring.used->ring[1].id, 1);
	CHECK_INT(f.ring.used->ring[1].len, 8);
	CHECK(virtq_should_notify(&f.vq));
	virtq_fill(&f.vq, 2, 9);
	virtq_stop(&f.vq);
	virtq_flush(&f.vq);
	virtq_unpop(&f.vq, 2);
	CHECK_INT(f.ring.used->idx, 2);
	CHECK_INT(f.vq.next_avail, 0);
}

/* Stopped at any index, also across the wrap, and taken up again: no chain lost,
 * none twice, the used ring goes on. */
static void test_continue(void)
{
	struct fixture f;
	struct virtq_layout layout;
	struct error *error = NULL;

	fixture_init(&f, EVENT_IDX);
	layout = (struct virtq_layout){ SIZE, f.ring.desc_gpa, f.ring.avail_gpa, f.ring.used_gpa };
	for (unsigned i = 0; i < SIZE; i++)
		set(&f.ring.desc[i], f.data, 1 + i, 0, 0);
	for (unsigned i = 0; i < 0x10000 + 100; i++) {
		uint16_t next_avail = f.vq.next_avail;

		ring_publish(&f.ring, (uint16_t)(i % SIZE));
		virtq_stop(&f.vq);
		CHECK_OK(virtq_start(&f.vq, &f.d.memory, &layout, SIZE, EVENT_IDX, &error), &error);
		virtq_continue(&f.vq, next_avail);
		CHECK(!virtq_should_notify(&f.vq)); /* of what was pushed before: told already */
		pop_works(&f, 1, 0);
		CHECK_INT(f.chain.out_size, 1 + i % SIZE);
		CHECK_INT(virtq_pop(&f.vq, &f.chain, &error), 0);
		virtq_push(&f.vq, f.chain.head, 0);
		*(uint16_t *)&f.ring.avail->ring[SIZE] = (uint16_t)i; /* used_event: this one */
		CHECK(virtq_should_notify(&f.vq));
		CHECK_INT(f.ring.used->idx, (uint16_t)(i + 1));
		CHECK_INT(f.ring.used->ring[i % SIZE].id, i % SIZE);
	}
	/* Taken up at a place where the driver is not: its fault, not ours. */
	virtq_continue(&f.vq, (uint16_t)(f.vq.next_avail - SIZE - 1));
	pop_fails(&f, "ahead");
}

static const struct test_case cases[] = {
	{ "layouts", test_layouts },
	{ "round trip", test_round_trip },
	{ "direct, then indirect", test_mixed },
	{ "slices", test_slices },
	{ "bad heads and indices", test_head_and_index },
	{ "loops", test_loops },
	{ "bad buffers", test_buffers },
	{ "readable behind writable", test_order },
	{ "bad indirect tables", test_indirect },
	{ "a chain of 4 GiB", test_four_gib },
	{ "a table that changes under us", test_changing },
	{ "notification by flags", test_notify_flags },
	{ "notification by event idx", test_notify_event_idx },
	{ "unpop, stop", test_unpop_and_stop },
	{ "several chains at once", test_several },
	{ "continue", test_continue },
};

TEST_MAIN(cases)
