/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings as a hostile driver writes them: the input is a few bytes of layout and
 * then guest memory itself.  Whatever comes out of virtq_pop() lies in guest
 * memory and keeps the bounds.
 *
 * Input: features (bit 0 indirect, bit 1 event idx), log2 of the size, three
 * 16-bit offsets into memory (desc, avail, used; / 16, 2, 4), then memory.
 */
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "tests/fuzz/input.h"
#include "virtio/queue.h"

#define RAM_BASE 0x10000
#define RAM_SIZE 8192
#define HEADER 8
#define ROUNDS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_chain(const struct virtq *vq, const struct chain *chain, const uint8_t *ram)
{
	uint64_t total[2] = { 0, 0 };
	struct iovec slice[VIRTQ_SIZE_MAX];
	uint8_t bytes[64];
	unsigned n = chain->n_out + chain->n_in;

	check(n >= 1 && n <= vq->size);
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *base = chain->iov[i].iov_base;
		size_t length = chain->iov[i].iov_len;

		check(base >= ram && length > 0 && length <= RAM_SIZE &&
		      base + length <= ram + RAM_SIZE);
		total[i >= chain->n_out] += length;
	}
	check(total[0] == chain->out_size && total[1] == chain->in_size);
	check(chain_read(chain, 0, bytes, sizeof(bytes)) == (chain->out_size >= sizeof(bytes)));
	check(chain_out_slice(chain, chain->out_size / 2, UINT32_MAX, slice) <= chain->n_out);
	check(chain_in_slice(chain, chain->in_size / 2, UINT32_MAX, slice) <= chain->n_in);
}

/* Pops, writes and pushes; the memory it writes to may be the ring's own. */
static void serve(struct virtq *vq, const uint8_t *ram)
{
	struct chain chain;

	virtq_disable_kicks(vq);
	for (int i = 0; i < ROUNDS; i++) {
		struct error *error = NULL;
		int r = virtq_pop(vq, &chain, &error);

		check((r < 0) == (error != NULL));
		error_free(error);
		if (r <= 0)
			break;
		check_chain(vq, &chain, ram);
		if (i % 8 == 7)
			virtq_unpop(vq, 1);
		(void)chain_write(&chain, chain.in_size / 3, "written by the device", 21);
		virtq_push(vq, chain.head, chain.in_size);
		(void)virtq_should_notify(vq);
	}
	(void)virtq_enable_kicks(vq);
}

static uint16_t half(const uint8_t *data)
{
	return (uint16_t)(data[0] | data[1] << 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest_memory memory = { 0 };
	struct virtq vq = { 0 };
	struct virtq_layout layout;
	struct error *error = NULL;
	uint8_t *ram;

	if (size < HEADER)
		return 0;
	ram = xcalloc(1, RAM_SIZE); /* of its own: a step outside is seen */
	memcpy(ram, data + HEADER, MIN(size - HEADER, (size_t)RAM_SIZE));
	check(mem_add_region(
		  &memory,
		  &(struct mem_region){ .base = RAM_BASE, .size = RAM_SIZE, .hva = ram, .fd = -1 },
		  NULL) == 0);
	layout = (struct virtq_layout){
		.size = 1U << data[1] % 10,
		.desc = RAM_BASE + half(data + 2) * 16ULL,
		.avail = RAM_BASE + half(data + 4) * 2ULL,
		.used = RAM_BASE + half(data + 6) * 4ULL,
	};
	if (virtq_start(&vq, &memory, &layout, VIRTQ_SIZE_MAX,
			(data[0] & 1 ? 1ULL << VIRTIO_RING_F_INDIRECT_DESC : 0) |
			    (data[0] & 2 ? 1ULL << VIRTIO_RING_F_EVENT_IDX : 0),
			&error) == 0)
		serve(&vq, ram);
	error_free(error);
	free(ram);
	return 0;
}
